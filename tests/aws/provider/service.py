"""The gRPC service that Pulumi's engine talks to."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent import futures
from typing import Any, NoReturn

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as pb

from .changes import differences, narrowed, overlaid
from .checks import failures, with_defaults
from .cloud import WAIT_S, Cloud, ProviderError, default_region, explain, is_gone
from .messages import to_struct, to_values
from .registry import FUNCTIONS, TYPES
from .schema import ResourceType, Values

VERSION = "7.51.1"
"""At least the version that the newest pulumi_aws we tried asks for; the engine warns about an older one."""
ORPHAN_S = 0.5
"""Between two checks that the engine is still alive."""
SETTINGS = ("region", "version", "skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation")
_REPLACING = (pb.PropertyDiff.ADD_REPLACE, pb.PropertyDiff.DELETE_REPLACE, pb.PropertyDiff.UPDATE_REPLACE)


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The provider's operations. Any other answers UNIMPLEMENTED."""

    cloud: Cloud

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Set no flag, so the engine keeps secrets and outputs to itself and sends plain values."""
        return pb.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Return the version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Accept an engine that has found this provider already running."""
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Do nothing. The engine calls this at every end, even an orderly one; running operations finish."""
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuse settings that are not implemented, and a missing Region."""
        given = to_values(request.news)
        wrong = [
            pb.CheckFailure(property=name, reason=f"the lab's provider does not implement aws:{name}")
            for name in given
            if name not in SETTINGS
        ]
        if not (given.get("region") or default_region()):
            reason = "Missing region configuration; set one with: pulumi config set aws:region us-east-1"
            wrong.append(pb.CheckFailure(property="region", reason=reason))
        return pb.CheckResponse(inputs=request.news, failures=wrong)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Replace the resources if the Region changes; no other setting matters to them."""
        moved = to_values(request.old_inputs).get("region") != to_values(request.news).get("region")
        changed = pb.DiffResponse.DIFF_SOME if moved else pb.DiffResponse.DIFF_NONE
        return pb.DiffResponse(changes=changed, replaces=["region"] if moved else [])

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Set the Region."""
        self.cloud = Cloud(to_values(request.args).get("region") or default_region() or "us-east-1")
        return pb.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Complete the inputs, and refuse those that are unknown, missing or wrong."""
        kind = _type(request.type, context)
        name = request.urn.rsplit("::", 1)[1]
        before, given = to_values(request.olds), to_values(request.news)
        inputs = with_defaults(
            kind, given, before, resource_name=name, region=self.cloud.region, seed=request.randomSeed
        )
        wrong = [pb.CheckFailure(property=path, reason=reason) for path, reason in failures(kind, inputs)]
        return pb.CheckResponse(inputs=to_struct(inputs), failures=wrong)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """What would change, and whether in place."""
        kind = _type(request.type, context)
        found = differences(
            kind.inputs,
            to_values(request.olds),
            to_values(request.old_inputs),
            to_values(request.news),
            request.ignoreChanges,
        )
        return pb.DiffResponse(
            changes=pb.DiffResponse.DIFF_SOME if found else pb.DiffResponse.DIFF_NONE,
            diffs=sorted({path.split(".")[0] for path in found}),
            replaces=[path for path, change in found.items() if change in _REPLACING],
            detailedDiff={path: pb.PropertyDiff(kind=change) for path, change in found.items()},
            hasDetailedDiff=True,
        )

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Create an object. If a later step fails, the error has the object's id, so the state keeps it."""
        kind, inputs = _type(request.type, context), to_values(request.properties)
        if request.preview:
            return pb.CreateResponse(properties=request.properties)
        try:
            object_id = kind.create(self.cloud, inputs)
        except (ClientError, BotoCoreError, ProviderError) as e:
            _fail(context, f"creating {kind.label}", e)
        try:
            kind.finish(self.cloud, object_id, inputs)
            properties = self._after_change(kind, object_id, inputs, inputs)
        except (ClientError, BotoCoreError, ProviderError) as e:
            _fail_half_made(context, object_id, inputs, _text(f"creating {kind.label} ({object_id})", e))
        if properties is None:
            _fail_half_made(context, object_id, inputs, f"creating {kind.label}: {object_id} is gone again")
        return pb.CreateResponse(id=object_id, properties=to_struct(properties))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Read an object: for a refresh, with the inputs brought up to date, or for an import."""
        kind = _type(request.type, context)
        given = to_values(request.inputs)
        try:
            live = self._read(kind, request.id, {**given, **to_values(request.properties)})
        except (ClientError, BotoCoreError, ProviderError) as e:
            _fail(context, f"reading {kind.label} ({request.id})", e)
        if live is None:
            return pb.ReadResponse()
        if given:
            inputs = {
                name: narrowed(value, live[name]) if name in live else value for name, value in given.items()
            }
        else:
            inputs = {name: live[name] for name in kind.inputs if live.get(name) is not None}
        return pb.ReadResponse(id=request.id, properties=to_struct(live), inputs=to_struct(inputs))

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Change an object in place."""
        kind, old, new = _type(request.type, context), to_values(request.olds), to_values(request.news)
        if request.preview:
            return pb.UpdateResponse(properties=to_struct(overlaid(kind.inputs, old, new)))
        plan = overlaid(kind.inputs, old, new)
        try:
            kind.retag(self.cloud, request.id, old, new)
            kind.update(self.cloud, request.id, old, new)
            properties = self._after_change(kind, request.id, new, plan)
        except (ClientError, BotoCoreError, ProviderError) as e:
            kept = old if kind.framework else plan
            _fail_half_made(context, request.id, kept, _text(f"updating {kind.label} ({request.id})", e))
        return pb.UpdateResponse(properties=to_struct(properties or plan))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Remove an object. One that is already gone counts as removed."""
        kind = _type(request.type, context)
        try:
            kind.delete(self.cloud, request.id, to_values(request.properties))
        except (ClientError, BotoCoreError, ProviderError) as e:
            if not (isinstance(e, ClientError) and is_gone(e)):
                _fail(context, f"deleting {kind.label} ({request.id})", e)
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Look something up."""
        function = FUNCTIONS.get(request.tok)
        if function is None:
            _abort(
                context, grpc.StatusCode.INVALID_ARGUMENT, f"the lab's provider has no function {request.tok}"
            )
        arguments = {name: value for name, value in to_values(request.args).items() if name != "region"}
        unknown = sorted(set(arguments) - set(function.arguments))
        if unknown:
            reason = f"the lab's provider does not implement {', '.join(unknown)} of {request.tok}"
            return pb.InvokeResponse(failures=[pb.CheckFailure(property=unknown[0], reason=reason)])
        try:
            found = function.look_up(self.cloud, arguments)
        except (ClientError, BotoCoreError, ProviderError) as e:
            _fail(context, f"reading {function.label}", e)
        return pb.InvokeResponse(**{"return": to_struct({"region": self.cloud.region, **found})})

    def _after_change(
        self, kind: ResourceType, object_id: str, inputs: Values, known: Values
    ) -> Values | None:
        """The properties of an object that was just made or changed."""
        if not kind.framework:
            return self._read(kind, object_id, known)
        return self._completed(
            kind, object_id, known, {**inputs, **kind.planned(self.cloud, object_id, inputs)}
        )

    def _read(self, kind: ResourceType, object_id: str, known: Values) -> Values | None:
        """The object's properties, or None if it is gone. What the API does not return comes from `known`."""
        try:
            live = kind.read(self.cloud, object_id, known)
        except ClientError as e:
            if is_gone(e):
                return None
            raise
        return None if live is None else self._completed(kind, object_id, known, live)

    def _completed(self, kind: ResourceType, object_id: str, known: Values, live: Values) -> Values:
        live = {name: value for name, value in live.items() if value is not None}
        untold = {name: known[name] for name, p in kind.inputs.items() if p.unread and name in known}
        if "region" in kind.inputs:
            untold["region"] = self.cloud.region
        if "tags" in live:
            live["tagsAll"] = live["tags"]
        return {"id": object_id, **untold, **live}


def _type(token: str, context: grpc.ServicerContext) -> ResourceType:
    kind = TYPES.get(token)
    if kind is None:
        _abort(context, grpc.StatusCode.INVALID_ARGUMENT, f"the lab's provider has no type {token}")
    return kind


def _text(doing: str, error: Exception) -> str:
    if isinstance(error, ClientError):
        return explain(doing, error)
    return f"{doing}: {error}"


def _fail(context: grpc.ServicerContext, doing: str, error: Exception) -> NoReturn:
    # With UNKNOWN or INTERNAL the engine would consider the state broken.
    text = f"1 error occurred:\n\t* {_text(doing, error)}\n\n"
    _abort(context, grpc.StatusCode.FAILED_PRECONDITION, text)


def _fail_half_made(context: grpc.ServicerContext, object_id: str, values: Values, reason: str) -> NoReturn:
    """Report a failure together with the object that it left behind; the engine counts the reasons."""
    detail = any_pb2.Any()
    detail.Pack(pb.ErrorResourceInitFailed(id=object_id, properties=to_struct(values), reasons=[reason]))
    status = status_pb2.Status(
        code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message=reason, details=[detail]
    )
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _abort(context, grpc.StatusCode.FAILED_PRECONDITION, reason)


def _abort(context: grpc.ServicerContext, status: grpc.StatusCode, text: str) -> NoReturn:
    context.abort(status, text)
    raise AssertionError("abort raises")


def _end_with(engine: int) -> None:
    """End this process once the engine, its parent, has ended in any way. Nothing else would end it.

    PR_SET_PDEATHSIG does not help: it watches the thread that started us, and the engine's threads come and go.
    """
    while os.getppid() == engine:
        time.sleep(ORPHAN_S)
    os._exit(1)


def main() -> None:
    """Serve until told to stop. The first line of output is the port, from which the engine learns it."""
    threading.Thread(target=_end_with, args=(os.getppid(),), name="orphan", daemon=True).start()
    done = threading.Event()
    # The engine stops a provider with SIGINT, and kills it if it is still there after five seconds.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=16), options=[("grpc.max_receive_message_length", 1 << 28)]
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    done.wait()
    server.stop(grace=WAIT_S).wait()
