"""The API server: identifies callers, applies faults, limits, permissions and delays, and records calls."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import run_wsgi_app

from . import authorization, ec2_api, parameters, quotas, run_command, signing, validation
from .errors import ApiError
from .faults import Faults
from .http import Request, Response, Silence, dated
from .principals import Principal, Principals
from .throttle import READS, Throttle
from .world import World

log = logging.getLogger(__name__)

# Parameters that we never record: secret, long or redundant ones.
UNRECORDED = re.compile(r"UserData|Password|Secret|Token|PolicyDocument|^Value$|^Version$|^Action$")
ERROR_CODE = re.compile(rb"<Code>([^<]+)</Code>|\"__type\"\s*:\s*\"(?:[^\"#]*#)?([^\"]+)\"")


@dataclass
class Call:
    """One API call in progress."""

    request: Request
    signature: signing.Signature | None
    service: str
    action: str
    params: Mapping[str, str]
    instance_id: str | None
    principal: Principal | None = None
    given: parameters.Given = field(default_factory=dict)

    @property
    def reads(self) -> bool:
        return self.action.startswith(READS)


class ApiServer:
    """Answers requests of the EC2, IAM, STS and SSM APIs."""

    def __init__(self, world: World, principals: Principals, faults: Faults) -> None:
        self._world = world
        self._principals = principals
        self._faults = faults
        self._throttle = Throttle()
        self.run_command = run_command.RunCommand(world, principals)
        self._others = DomainDispatcherApplication(create_backend_app)
        self.closing = threading.Event()

    def respond(self, request: Request) -> Response:
        """Answer one request. Raises Silence if a fault suppresses the answer."""
        began = time.monotonic()
        call = self._read(request)
        code, status = "", 0
        try:
            response = self._answer(call)
            status = response.status
            code = "OK" if status < 400 else _code(response.body)
        except ApiError as error:
            code, status = error.code, error.status
            content_type, body = error.body(call.service)
            response = Response(status, body, content_type)
        except Silence:
            code = "NoAnswer"
            raise
        except Exception as error:
            log.exception("%s %s failed", call.service, call.action)
            code, status = "InternalError", 500
            content_type, body = ApiError(500, code, f"the emulator failed: {error!r}").body(call.service)
            response = Response(status, body, content_type)
        finally:
            self._record(call, code, status, began)
        return dated(response, self._world.clock_of(call.instance_id))

    def refuses(self, client_ip: str) -> bool:
        """Whether to reset a connection from this address as soon as it opens."""
        return any(fault.kind == "down" for fault in self._faults.of("api", self._instance_at(client_ip)))

    def _read(self, request: Request) -> Call:
        signature = signing.read(request)
        host = request.headers.get("Host") or ""
        service = signature.service if signature is not None else host.split(".")[0]
        params: dict[str, str] = {}
        target = request.headers.get("X-Amz-Target")
        if target:
            action = target.split(".")[-1]
            params = _json_params(request.body)
        else:
            params = authorization.form(request.body or request.target.partition("?")[2].encode())
            action = params.get("Action", "")
        instance_id = self._instance_at(request.client_ip)
        if instance_id is None and signature is not None:
            instance_id = self._principals.session_instance(signature.access_key_id)
        return Call(request, signature, service, action, params, instance_id)

    def _instance_at(self, client_ip: str) -> str | None:
        with self._world.lock:
            for eni in self._world.ec2.enis.values():
                if eni.instance is not None and (
                    client_ip == eni.private_ip_address
                    or client_ip == eni.public_ip
                    or client_ip in self._world.addresses.routed.of(eni.id)
                ):
                    return str(eni.instance.id)
        return None

    def _answer(self, call: Call) -> Response:
        self._wait_out_faults(call)
        world = self._world
        with world.lock:
            call.principal = self._principals.identify(call.request, call.signature, call.instance_id)
        self._delay(call)
        if call.service == "ec2" and not self._granted(call):
            raise ApiError(503, "RequestLimitExceeded", "Request limit exceeded.")
        if call.service == "ec2" and not ec2_api.knows(call.action):
            raise ApiError(
                400, "InvalidAction", f"The action {call.action} is not valid for this web service."
            )
        call.given = validation.check(call.service, call.action, call.params, call.request.body)
        quotas.check(call.action, call.given)
        with world.answering():
            # We check policies at the moment the call takes effect, after the delay.
            authorization.check(world, call.principal, call.service, call.action, call.params, call.given)
            response = self._dispatch(call)
        if response.status < 400 and not call.reads and call.service in ("ec2", "iam"):
            world.changed()
        return response

    def _wait_out_faults(self, call: Call) -> None:
        faults = self._faults.of("api", call.instance_id)
        for fault in faults:
            fault.hold_up(self.closing)
        kinds = {fault.kind for fault in faults}
        if "throttled" in kinds:
            raise ApiError(503, "RequestLimitExceeded", "Request limit exceeded.")
        if "expired" in kinds:
            raise ApiError(400, "RequestExpired", "Request has expired.")
        if "denied" in kinds:
            with self._world.lock:
                principal = self._principals.identify(call.request, call.signature, call.instance_id)
                raise authorization.denied_by_fault(
                    self._world, principal.arn, call.service, call.action, call.params
                )

    def _delay(self, call: Call) -> None:
        settings = self._world.settings
        assert call.principal is not None
        if call.principal.role is None and not settings.delay_administrator:
            return
        slow_read = settings.read_delay_s if settings.read_delay_s is not None else settings.api_delay_s
        self.closing.wait(slow_read if call.reads else settings.api_delay_s)

    def _granted(self, call: Call) -> bool:
        if not self._world.settings.throttle:
            return True
        narrowed = any(key.startswith("Filter.") or key in ("MaxResults", "NextToken") for key in call.params)
        return self._throttle.take(call.action, narrowed=narrowed)

    def _dispatch(self, call: Call) -> Response:
        environ = self._environ(call.request)
        if call.service == "ec2":
            status, headers, body = ec2_api.Ec2Api(self._world, call.given).serve(environ)
            body = body.replace(b"<requestId>request-id<", b"<requestId>%s<" % str(uuid.uuid4()).encode())
            return Response(status, body, "text/xml;charset=UTF-8", _passed_on(headers.items()))
        if (call.service, call.action) == ("sts", "GetCallerIdentity"):
            return self._who(call)
        if call.service == "ssm" and call.action in run_command.ACTIONS:
            return self.run_command.respond(call.action, call.request.body)
        try:
            chunks, line, others = run_wsgi_app(self._others, environ)
        except NotImplementedError:  # moto knows the service, but not the action
            raise ApiError(400, "InvalidAction", f"This emulator has no action {call.action!r}.") from None
        content_type = others.get("Content-Type", "text/xml")
        return Response(int(line.split()[0]), b"".join(chunks), content_type, _passed_on(others.items()))

    def _who(self, call: Call) -> Response:
        assert call.principal is not None
        user_id = call.signature.access_key_id if call.signature is not None else ""
        text = (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<GetCallerIdentityResult><Arn>{escape(call.principal.arn)}</Arn>"
            f"<UserId>{escape(user_id)}</UserId><Account>{self._world.account_id}</Account>"
            f"</GetCallerIdentityResult><ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId>"
            "</ResponseMetadata></GetCallerIdentityResponse>"
        )
        return Response(200, text.encode(), "text/xml")

    def _environ(self, request: Request) -> dict[str, Any]:
        path, _, query = request.target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "RAW_URI": request.target,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": request.client_ip,
            "CONTENT_LENGTH": str(len(request.body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": request.scheme,
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in request.headers.items():
            key = name.upper().replace("-", "_")
            environ["CONTENT_TYPE" if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self._world.account_id
        return environ

    def _record(self, call: Call, code: str, status: int, began: float) -> None:
        principal = call.principal
        self._world.note(
            {
                "kind": "api",
                "began": began,
                "latency_s": time.monotonic() - began,
                "service": call.service,
                "action": call.action,
                "parameters": dict(_recorded(call.params)),
                "code": code,
                "status": status,
                "ip": call.request.client_ip,
                "instance_id": call.instance_id,
                "caller": principal.arn if principal is not None else None,
                "role": principal.role if principal is not None else None,
            }
        )


def _recorded(params: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in params.items():
        if not UNRECORDED.search(key):
            yield key, value


def _json_params(body: bytes) -> dict[str, str]:
    """The top level of a JSON request, with lists flattened as in the query protocol."""
    try:
        loaded = json.loads(body or b"{}")
    except ValueError:
        return {}
    params: dict[str, str] = {}
    for key, value in loaded.items():
        if isinstance(value, list):
            params.update({f"{key}.{n}": str(each) for n, each in enumerate(value, 1)})
        elif not isinstance(value, dict):
            params[key] = str(value)
    return params


def _code(body: bytes) -> str:
    found = ERROR_CODE.search(body)
    return (found[1] or found[2]).decode() if found else "Unknown"


def _passed_on(headers: Any) -> dict[str, str]:
    """moto's headers, without those that the server writes itself."""
    own = {"content-type", "content-length", "status", "date", "connection", "transfer-encoding"}
    return {name: str(value) for name, value in headers if name.lower() not in own}
