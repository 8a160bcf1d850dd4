"""The signature and the form equal botocore's and the published test vectors, byte for byte."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import api, ec2

# Names and values that a header may have: visible characters with spaces between them.
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True).filter(
    # botocore does not sign these headers; the agent adds such headers after signing.
    lambda name: (
        name not in ("authorization", "connection", "expect", "user-agent", "x-amzn-trace-id", "date")
        and name
        not in ("transfer-encoding", "x-amz-date", "x-amz-security-token", "host", "te", "keep-alive")
    )
)
VALUES = st.lists(st.from_regex(r"[!-~]{1,12}", fullmatch=True), max_size=4).map("  ".join)
KEYS = st.from_regex(r"[A-Za-z0-9/+=]{1,60}", fullmatch=True)
STAMPS = st.datetimes().map(lambda at: f"{at:%Y%m%dT%H%M%SZ}").filter(lambda stamp: len(stamp) == 16)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # botocore's signer is not fast
@given(
    service=st.sampled_from(["ec2", "ssm"]),
    region=st.sampled_from(["us-east-1", "cn-north-1", "us-gov-west-1"]),
    key=KEYS,
    secret=KEYS,
    token=KEYS,
    stamp=STAMPS,
    more=st.dictionaries(NAMES, VALUES, max_size=4),
    body=st.binary(max_size=200),
)
def test_the_signature_is_botocores(
    service: str,
    region: str,
    key: str,
    secret: str,
    token: str,
    stamp: str,
    more: dict[str, str],
    body: bytes,
) -> None:
    headers = {**more, "host": "example.com", "x-amz-date": stamp, "x-amz-security-token": token}
    ours = api.authorization(service, region, (key, secret), headers, body)

    request = AWSRequest("POST", "https://example.com/", more, body)
    request.context["timestamp"] = stamp
    request.headers["X-Amz-Date"] = stamp
    request.headers["X-Amz-Security-Token"] = token
    theirs = SigV4Auth(Credentials(key, secret, token), service, region)
    text = theirs.string_to_sign(request, theirs.canonical_request(request))
    names = theirs.signed_headers(theirs.headers_to_sign(request))
    assert ours == (
        f"AWS4-HMAC-SHA256 Credential={theirs.scope(request)}, SignedHeaders={names},"
        f" Signature={theirs.signature(text, request)}"
    )


@pytest.mark.parametrize(
    ("headers", "body", "signature"),
    [
        ({}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            {"content-type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["post-vanilla", "post-x-www-form-urlencoded"],
)
def test_the_signature_is_that_of_awss_test_suite(
    headers: dict[str, str], body: bytes, signature: str
) -> None:
    """From the `aws-sig-v4-test-suite` that AWS published; awslabs/aws-c-auth has it in tests/."""
    headers = {**headers, "host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
    keys = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    made = api.authorization("service", "us-east-1", keys, headers, body)
    names = ";".join(sorted(headers))
    assert made == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        f" SignedHeaders={names}, Signature={signature}"
    )


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
def test_a_form_is_read_as_it_was_meant(query: dict[str, str]) -> None:
    try:
        urlencode(query)
    except UnicodeEncodeError:
        return  # a lone surrogate
    assert dict(parse_qsl(ec2.form(query).decode("ascii"), keep_blank_values=True)) == query
