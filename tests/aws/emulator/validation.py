"""Refuses a request that does not fit the service's own model, before anything else looks at it.

The rules come from botocore's models. botocore's validator checks names, types, required members and minima. We
also check the models' maxima, enumerations and patterns. Sources of the texts: for EC2's unknown parameter
appoxy/aws#32 and aws/aws-sdk-cpp#327, for a missing one ClusterLabs/resource-agents#1395. The form that IAM and
Systems Manager share is AWS's own, known from many errors. EC2's remaining texts are assumed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import regex
from botocore.validate import ParamValidator, ValidationErrors

from . import parameters, schemas, tags
from .errors import ApiError
from .parameters import Flaw, Given

QUERY_SERVICES, JSON_SERVICES = ("ec2", "iam", "sts"), ("ssm",)


def check(service: str, action: str, flat: Mapping[str, str], body: bytes) -> Given:
    """The request's parameters, structured and typed. Raises ApiError in the service's words."""
    if service not in QUERY_SERVICES + JSON_SERVICES:
        raise ApiError(400, "InvalidAction", f"This emulator has no service {service!r}.")
    try:
        shape = parameters.operation(service, action).input_shape
    except KeyError:
        raise ApiError(
            400, "InvalidAction", f"The action {action} is not valid for this web service."
        ) from None
    if service in JSON_SERVICES:
        try:
            given, flaws = parameters.read_json(body)
        except ValueError as error:
            raise ApiError(400, "SerializationException", str(error)) from None
    else:
        given, flaws = parameters.read_query(service, action, flat)
    if shape is not None:
        # A parameter that we could not read is not in the structure; it must not count as missing too.
        unread = {flaw.path for flaw in flaws}
        flaws += [flaw for flaw in _Validator().flaws(given, shape) if flaw.path not in unread]
    if flaws:
        raise _refused(service, flaws)
    schemas.check(service, action, given)
    tags.check(service, action, given)
    return given


class _Found(ValidationErrors):
    """Collects botocore's findings as flaws."""

    def __init__(self) -> None:
        super().__init__()
        self.flaws: list[Flaw] = []

    def report(self, name: str, reason: str, **about: Any) -> None:
        if reason == "missing required field":
            self.flaws.append(Flaw("missing", f"{name}.{about['required_name']}"))
        elif reason == "unknown field":
            self.flaws.append(Flaw("unknown", f"{name}.{about['unknown_param']}"))
        elif reason in ("invalid length", "invalid range"):
            what = "length" if reason == "invalid length" else "value"
            rule = f"Member must have {what} greater than or equal to {about['min_allowed']}"
            self.flaws.append(Flaw("constraint", name, about["param"], rule))
        else:
            self.flaws.append(Flaw("type", name, about.get("param"), f"Member has an {reason}"))


_Base: Any = ParamValidator  # the methods that check a type are not part of its public interface


class _Validator(_Base):  # type: ignore[misc]
    """botocore's validator, plus the constraints in the models that it does not check."""

    VALIDATED_METADATA_ATTRS = ParamValidator.VALIDATED_METADATA_ATTRS | {"max", "enum", "pattern"}

    def flaws(self, given: Given, shape: Any) -> list[Flaw]:
        """All flaws of the parameters."""
        found = _Found()
        self._validate(given, shape, found, name="")
        return found.flaws

    def _validate_string(self, param: Any, shape: Any, errors: Any, name: str) -> None:
        if not isinstance(param, str):
            super()._validate_string(param, shape, errors, name)
            return
        about = shape.metadata
        if len(param) < about.get("min", 0):
            errors.flaws.append(Flaw("constraint", name, param, _at_least("length", about["min"])))
        if len(param) > about.get("max", len(param)):
            errors.flaws.append(Flaw("constraint", name, param, _at_most("length", about["max"])))
        if "enum" in about and param not in about["enum"]:
            allowed = ", ".join(about["enum"])
            errors.flaws.append(
                Flaw("constraint", name, param, f"Member must satisfy enum value set: [{allowed}]")
            )
        if "pattern" in about and not _fits(about["pattern"], param):
            rule = f"Member must satisfy regular expression pattern: {about['pattern']}"
            errors.flaws.append(Flaw("constraint", name, param, rule))

    def _validate_integer(self, param: Any, shape: Any, errors: Any, name: str) -> None:
        if isinstance(param, bool):
            errors.report(name, "invalid type", param=param)
            return
        super()._validate_integer(param, shape, errors, name)
        if isinstance(param, int) and param > shape.metadata.get("max", param):
            errors.flaws.append(Flaw("constraint", name, param, _at_most("value", shape.metadata["max"])))

    def _validate_list(self, param: Any, shape: Any, errors: Any, name: str) -> None:
        super()._validate_list(param, shape, errors, name)
        if isinstance(param, list) and len(param) > shape.metadata.get("max", len(param)):
            shown = f"[{', '.join(map(str, param))}]"
            errors.flaws.append(Flaw("constraint", name, shown, _at_most("length", shape.metadata["max"])))


def _at_least(what: str, limit: int) -> str:
    return f"Member must have {what} greater than or equal to {limit}"


def _at_most(what: str, limit: int) -> str:
    return f"Member must have {what} less than or equal to {limit}"


def _fits(pattern: str, value: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    # The models' patterns are Java's, with Unicode's classes (\p{L}), which Python's own `re` lacks.
    return regex.compile(pattern)


def _refused(service: str, flaws: list[Flaw]) -> ApiError:
    if service == "ec2":
        return _refused_by_ec2(flaws[0])
    code = "ValidationException" if service in JSON_SERVICES else "ValidationError"
    texts = []
    for flaw in flaws:
        if flaw.kind == "unknown":
            # AWS probably ignores parameters that these services do not know. We report them, to catch slips.
            texts.append(f"'{flaw.path.lstrip('.')}' is not a parameter of this action")
            continue
        value = "null" if flaw.kind == "missing" else f"'{flaw.value}'"
        rule = flaw.rule or "Member must not be null"
        texts.append(f"Value {value} at '{_lowered(flaw.path)}' failed to satisfy constraint: {rule}")
    errors = "1 validation error" if len(texts) == 1 else f"{len(texts)} validation errors"
    return ApiError(400, code, f"{errors} detected: {'; '.join(texts)}")


def _lowered(path: str) -> str:
    """A path as IAM and Systems Manager write it: ".Tags[0].Key" is "tags.1.member.key"."""
    parts = []
    for part in path.strip(".").split("."):
        name, *indices = re.split(r"[\[\]]+", part.rstrip("]"))
        parts.append(name[:1].lower() + name[1:])
        for index in indices:
            parts += [str(int(index) + 1), "member"]
    return ".".join(parts)


def _refused_by_ec2(flaw: Flaw) -> ApiError:
    name = re.sub(r"\[\d+\]", "", flaw.path).split(".")[-1]
    if flaw.kind == "unknown":
        return ApiError(400, "UnknownParameter", f"The parameter {flaw.path} is not recognized")
    if flaw.kind == "missing":
        lowered = name[:1].lower() + name[1:]
        return ApiError(400, "MissingParameter", f"The request must contain the parameter {lowered}")
    if name == "InstanceType":
        return ApiError(400, "InvalidParameterValue", f"Invalid value '{flaw.value}' for InstanceType.")
    text = f"Value ({flaw.value}) for parameter {name} is invalid. {flaw.rule}."
    return ApiError(400, "InvalidParameterValue", text)
