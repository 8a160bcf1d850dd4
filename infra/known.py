"""What Pulumi itself knows of the nodes before this run changes anything: its state's word, beside EC2's."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi

from .watch import OFF, PairError

# The engine's own look-up of a stack's resources, as the Node.js SDK's `listResourceOutputs` uses it:
# pulumi/pulumi sdk/nodejs/runtime/resource.ts.
READ = "pulumi:pulumi:readStackResourceOutputs"
INSTANCE = "ec2vip:index:FloatingIpPair$aws:ec2/instance:Instance"


async def known_nodes(names: Iterable[str]) -> dict[str, str]:
    """The ids of the instances that the stack's state has for nodes of these names, by name.

    Raises PairError if the state cannot be read: not to know is not to have none.
    """
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
    """A backend that was made before stacks belonged to projects knows no longer name."""
    try:
        answer: dict[str, dict[str, dict[str, dict[str, str]]]] = await pulumi.runtime.invoke_async(
            READ, {"stackName": stack}
        )
    except Exception as error:
        raise PairError(
            f"the state of stack {stack} cannot be read, so the nodes that it has are unknown: {error}; see "
            f"`pulumi stack export`, or {OFF}"
        ) from error
    return answer
