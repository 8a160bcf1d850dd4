"""Tells whether Pulumi is about to change resources.

Pulumi also runs a program for a refresh and a destroy (--run-program), and does not tell the program. But it
calls a resource's hook only before it makes or changes that resource.
"""

from __future__ import annotations

from datetime import datetime, timezone

import pulumi

from .tags import Scope

PART = "last-roll"


class Operation:
    """One run of the program. A small value in the state says when an `up` last had to look after the nodes.

    While there is nothing to look after, and in a preview, we ignore changes of the value. So the value itself is
    never a reason for an update.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._is_up = False

    def keep(self) -> None:
        """Keep the value as it is."""
        self._register("", pulumi.ResourceOptions(ignore_changes=["input"]))

    async def is_up(self, pending: bool) -> bool:
        """Whether this is an `up` of the whole pair. Call it once, in place of `keep`.

        `pending` says that there is something to look after; without it the answer may be False in an `up`, too.
        The answer is False in a refresh or a destroy, and in an `up` whose --target leaves the value out.
        """
        hook = pulumi.ResourceHook(self._scope.part(PART), self._note)
        hooks = pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])
        kept = self._register(
            datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            pulumi.ResourceOptions(hooks=hooks, ignore_changes=[] if pending else ["input"]),
        )
        await kept.urn.future()
        return self._is_up

    def _note(self, args: pulumi.ResourceHookArgs) -> None:
        self._is_up = True

    def _register(self, value: str, options: pulumi.ResourceOptions) -> pulumi.Stash:
        return pulumi.Stash(
            self._scope.part(PART),
            input=value,
            opts=pulumi.ResourceOptions.merge(self._scope.options(), options),
        )
