"""The drill in a user's AWS account: their stack, their credentials, and only the rights of `drill_policy`.

`python -m tests.drill.aws ACCOUNT REGION STACK` prints the IAM policy that verify and status need.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)

from tests.drill.pair import Pair, Reach
from tests.drill.run_command import SSM_DOCUMENT, Commands
from tests.lab.errors import LabError
from tests.lab.paths import PROJECT
from tests.lab.process import CommandError, run

POLL_S = 0.5
"""Time between two polls of EC2 (s), and so the resolution if no client pings. Describe calls that name their
resources may go on at 20 a second per account (Amazon EC2 API reference, "Request throttling"). We use a
tenth of that."""
WHOLE_LIMIT_S = 600.0
"""EC2 checks the status of a started instance once a minute. The checks take some minutes to pass."""
SETTLE_S = 120.0
"""A rebooting node passes its status checks at first. Without a shell, we wait this long before we judge."""
STARTABLE_S = 5
"""Time between two polls of a stopping instance (s). Stopping takes from seconds to minutes."""

# The same values as in `infra`, which takes seconds to import.
VIP, VIPS, NODE_IDS, PAIR = "vip", "vips", "nodeIds", "ec2vip:pair"

CONFIG = Config(retries={"mode": "standard", "max_attempts": 8})
NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "AuthFailure", "InvalidClientTokenId")
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")


class AwsCloud:
    """AWS, seen with the caller's own credentials: one account, one Region, one stack's two nodes.

    Commands go to the nodes by SSM Run Command, if the SSM agents of both nodes are online. `probe` is the
    command prefix of a host that can reach the VIP, or None if the user gave none.
    """

    name = "aws"

    def __init__(
        self, session: boto3.Session, node_ids: Sequence[str], probe: Sequence[str] | None = None
    ) -> None:
        self._ec2: Any = session.client("ec2", config=CONFIG)
        self._commands = Commands(session.client("ssm", config=CONFIG))
        caller = session.client("sts", config=CONFIG).get_caller_identity()
        self.account, self.region = str(caller["Account"]), str(session.region_name)
        self._probe = None if probe is None else list(probe)
        no_shell = self._why_no_shell(list(node_ids))
        self.reach = Reach(
            poll_s=POLL_S,
            whole_limit_s=WHOLE_LIMIT_S,
            settle_s=SETTLE_S if no_shell else 0.0,
            no_shell=no_shell,
            remedy="see `aws ec2 get-console-output --latest`, and `ec2vip-report` on the nodes",
        )

    def ec2(self) -> Any:
        return self._ec2

    def client_prefix(self) -> Sequence[str] | None:
        return self._probe

    def run_on(self, instance_id: str, argv: Sequence[str]) -> str | None:
        if self.reach.no_shell:
            return None
        return self._commands.run(instance_id, argv)

    def cut_power(self, instance_id: str) -> None:
        """Stop the instance by force, without shutting its system down.

        Only AWS can cut the power of a host. SkipOsShutdown comes closest: the hypervisor ends the machine,
        and the guest hears nothing. With Force alone, the system would shut down first, and the cluster would
        hand the VIP over in order. Source: Amazon EC2 API reference, StopInstances.
        """
        self._ec2.stop_instances(InstanceIds=[instance_id], Force=True, SkipOsShutdown=True)

    def restore_power(self, instance_id: str) -> None:
        state = self._state(instance_id)
        if state == "stopping":
            self._ec2.get_waiter("instance_stopped").wait(
                InstanceIds=[instance_id], WaiterConfig={"Delay": STARTABLE_S, "MaxAttempts": 120}
            )
        if state in ("stopping", "stopped"):
            self._ec2.start_instances(InstanceIds=[instance_id])

    def _state(self, instance_id: str) -> str:
        (reservation,) = self._ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        return str(reservation["Instances"][0]["State"]["Name"])

    def _why_no_shell(self, node_ids: list[str]) -> str:
        try:
            online = self._commands.online(node_ids)
        except ClientError as error:
            if error.response["Error"]["Code"] not in DENIED:
                raise
            return "the caller may not use SSM"
        silent = [key for key in node_ids if key not in online]
        # Both or neither: a trial may find either node as the holder.
        return f"SSM does not reach {' and '.join(silent)} (setting ec2vip:ssm)" if silent else ""


def aws_pair(stack: str, probe: str = "") -> Pair:
    """The pair of a stack in the user's own Pulumi backend and AWS account.

    `probe` is a command prefix in shell syntax (`ssh bastion`), or empty. Raises LabError, in one line, if
    the stack, its pair, its nodes, the credentials or the Region are missing.
    """
    outputs = json.loads(_pulumi(stack, "stack", "output", "--json"))
    if VIP not in outputs or NODE_IDS not in outputs:
        raise LabError(f"stack {stack!r} holds no pair", f"run `pulumi up -s {stack}`")
    session = boto3.Session(region_name=_region(stack))
    with aws_errors():
        cloud = AwsCloud(session, outputs[NODE_IDS], shlex.split(probe) or None)
        pair = Pair(cloud, outputs[VIP], outputs[NODE_IDS], outputs.get(VIPS, ()))
        _check_nodes(pair, stack)
    return pair


def where(pair: Pair) -> str:
    """Account and Region of a pair that `aws_pair` found."""
    assert isinstance(pair.cloud, AwsCloud)
    return f"account {pair.cloud.account}, Region {pair.cloud.region}"


def _check_nodes(pair: Pair, stack: str) -> None:
    found: set[str] = set()
    try:
        for reservation in pair.cloud.ec2().describe_instances(InstanceIds=pair.node_ids)["Reservations"]:
            found |= {i["InstanceId"] for i in reservation["Instances"] if i["State"]["Name"] != "terminated"}
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
            raise
    if missing := [key for key in pair.node_ids if key not in found]:
        raise LabError(
            f"stack {stack!r} has the nodes {' and '.join(pair.node_ids)}, but {where(pair)} does not have "
            f"{' and '.join(missing)}",
            f"use the account's own credentials (AWS_PROFILE), or run `pulumi up -s {stack} --refresh`",
        )


def _pulumi(stack: str, *words: str) -> str:
    """The output of `pulumi` in the checkout and the user's environment: their login, their passphrase."""
    try:
        argv = ["pulumi", "--non-interactive", "--color=never", *words, "--stack", stack]
        return run(argv, cwd=PROJECT).stdout
    except CommandError as error:
        lines = [line.strip() for line in (error.stderr + error.stdout).splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("error:")), (lines or ["no word"])[-1])
        raise LabError(
            f"pulumi on stack {stack!r}: {said.removeprefix('error:').strip()}",
            "`pulumi stack ls` shows the stacks, `pulumi login` chooses where they are kept",
        ) from error


def _region(stack: str) -> str:
    with contextlib.suppress(LabError):  # not in the settings
        if region := _pulumi(stack, "config", "get", "aws:region").strip():
            return region
    if region := os.environ.get("AWS_REGION") or boto3.Session().region_name:
        return region
    raise LabError(
        f"no Region for stack {stack!r}",
        f"set AWS_REGION=…, or run `pulumi config set aws:region … -s {stack}`",
    )


@contextlib.contextmanager
def aws_errors() -> Iterator[None]:
    """Turn what AWS refuses, and errors on the way there, into a LabError with a remedy."""
    try:
        yield
    except NO_CREDENTIALS as error:
        raise LabError(
            f"no AWS credentials: {error}", "set AWS_PROFILE, or run `aws configure` or `aws sso login`"
        ) from error
    except ClientError as error:
        code = error.response["Error"]["Code"]
        remedy = ""
        if code in EXPIRED:
            remedy = (
                "renew the credentials, which are expired or wrong; `aws sts get-caller-identity` checks them"
            )
        elif code in DENIED:
            remedy = "attach the policy that `python -m tests.drill.aws ACCOUNT REGION STACK` prints"
        raise LabError(str(error), remedy) from error
    except BotoCoreError as error:
        raise LabError(f"AWS can't be reached: {error}", "look at AWS_PROFILE and the network") from error


def drill_policy(
    account: str,
    region: str,
    stack: str,
    *,
    project: str = "ec2vip",
    pair: str = "ec2vip",
    partition: str = "aws",
) -> dict[str, Any]:
    """The IAM policy that the caller of verify and status needs.

    The caller must also be able to read the stack in Pulumi's backend. Beyond read-only calls and the SSM
    document, the policy covers only the nodes of that stack's pair. Status needs only the first two
    statements. Without the last three, we skip the trials that need a shell.
    """
    own = f"{project}/{stack}/{pair}"
    nodes = f"arn:{partition}:ec2:{region}:{account}:instance/*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "See",
                "Effect": "Allow",
                "Action": [
                    "ec2:DescribeInstanceStatus",
                    "ec2:DescribeInstances",
                    "ec2:DescribeNetworkInterfaces",
                ],
                "Resource": "*",
            },
            {
                "Sid": "ReadConsoles",
                "Effect": "Allow",
                "Action": "ec2:GetConsoleOutput",
                "Resource": nodes,
                "Condition": {"StringEquals": {f"aws:ResourceTag/{PAIR}": own}},
            },
            {
                "Sid": "Break",
                "Effect": "Allow",
                "Action": ["ec2:RebootInstances", "ec2:StartInstances", "ec2:StopInstances"],
                "Resource": nodes,
                "Condition": {"StringEquals": {f"aws:ResourceTag/{PAIR}": own}},
            },
            {
                "Sid": "SeeCommands",
                "Effect": "Allow",
                "Action": ["ssm:DescribeInstanceInformation", "ssm:GetCommandInvocation"],
                "Resource": "*",
            },
            {
                "Sid": "CommandNodes",
                "Effect": "Allow",
                "Action": "ssm:SendCommand",
                "Resource": nodes,
                "Condition": {"StringEquals": {f"ssm:resourceTag/{PAIR}": own}},
            },
            {
                "Sid": "CommandDocument",
                "Effect": "Allow",
                "Action": "ssm:SendCommand",
                "Resource": f"arn:{partition}:ssm:{region}::document/{SSM_DOCUMENT}",
            },
        ],
    }


def main(words: Sequence[str] | None = None) -> int:
    """Print the policy."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.drill.aws",
        description="Print the IAM policy that make verify and make status need for one stack's pair.",
    )
    parser.add_argument("account", type=account_number, help="the account's 12 digits")
    parser.add_argument("region", help="the Region, such as eu-west-1")
    parser.add_argument("stack", help="the stack's name, such as dev")
    parser.add_argument(
        "--project", default="ec2vip", help="the Pulumi project's name (default: %(default)s)"
    )
    parser.add_argument("--pair", default="ec2vip", help="the component's name (default: %(default)s)")
    given = parser.parse_args(words)
    try:
        partition = boto3.Session().get_partition_for_region(given.region)
    except BotoCoreError:
        parser.error(
            f"region {given.region} is unknown to this botocore; correct it, or install a newer botocore"
        )
    print(json.dumps(drill_policy(**vars(given), partition=partition), indent=2))
    return 0


def account_number(text: str) -> str:
    """The text, if it is an account's number. Raises ArgumentTypeError if it is not."""
    if not re.fullmatch(r"\d{12}", text):
        raise argparse.ArgumentTypeError(f"{text} is not 12 digits")
    return text


if __name__ == "__main__":
    sys.exit(main())
