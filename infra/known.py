"""What Pulumi's state says about the nodes before this run changes anything, beside what EC2 says."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi

from .watch import OFF, PairError

# The engine's own look-up of a stack's resources, as the Node.js SDK's `listResourceOutputs` uses it:
# pulumi/pulumi sdk/nodejs/runtime/resource.ts.
READ = "pulumi:pulumi:readStackResourceOutputs"
INSTANCE = "ec2vip:index:FloatingIpPair$aws:ec2/instance:Instance"


class Known:
    """The nodes that the state has for one pair, a component of that name.

    If a stack has no state yet, the engine crashes when we ask for it (pulumi/pulumi pkg/backend/backend.go,
    GetStackResourceOutputs). So we do not look up a pair that this run makes.
    """

    def __init__(self, pair: str) -> None:
        self._pair = pair
        self._is_new = False

    def noting(self, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions | None:
        """The component's options, with a hook that notes if it is new.

        A preview gets no hook: it looks at no node.
        """
        if pulumi.runtime.is_dry_run():
            return opts
        hook = pulumi.ResourceHook(f"{self._pair}-is-new", self._note)
        hooks = pulumi.ResourceHookBinding(before_create=[hook])
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(hooks=hooks))

    def _note(self, args: pulumi.ResourceHookArgs) -> None:
        self._is_new = True

    async def nodes(self, names: Iterable[str]) -> dict[str, str]:
        """The ids of the instances that the state has for nodes of these names, by name.

        Call this when one of the pair's resources is there: only then do we know whether the pair is new. Raises
        PairError if the state cannot be read: there may be nodes all the same.
        """
        return {} if self._is_new else await _read(names)


async def _read(names: Iterable[str]) -> dict[str, str]:
    stack, project = pulumi.get_stack(), pulumi.get_project()
    try:
        answer = await pulumi.runtime.invoke_async(
            READ, {"stackName": f"{pulumi.get_organization()}/{project}/{stack}"}
        )
    except Exception:  # pulumi raises nothing narrower for a look-up that fails
        answer = await _by_its_short_name(stack)
    found = {}
    for urn, resource in answer["outputs"].items():
        _, _, kind, name = urn.split("::", 3)
        if name in names and kind.endswith(INSTANCE):
            found[name] = str(resource["outputs"]["id"])
    return found


async def _by_its_short_name(stack: str) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    """The answer of a backend from before stacks belonged to projects, which knows only the short name."""
    try:
        answer: dict[str, dict[str, dict[str, dict[str, str]]]] = await pulumi.runtime.invoke_async(
            READ, {"stackName": stack}
        )
    except Exception as error:
        raise PairError(
            f"the state of stack {stack} cannot be read, so its nodes are unknown: {error}; see `pulumi stack "
            f"export`, or {OFF}"
        ) from error
    return answer
