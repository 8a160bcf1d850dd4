"""Errors of the API, in the protocol of the service that returns them."""

from __future__ import annotations

import json
import uuid
from xml.sax.saxutils import escape


class ApiError(Exception):
    """An error answer: HTTP status, AWS's code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message

    def body(self, service: str) -> tuple[str, bytes]:
        """Content type and body as the service's clients parse them.

        EC2's errors spell it `RequestID` (real body in StreisandEffect/streisand#566). The other query
        services wrap one `Error` in an `ErrorResponse`. SSM and Service Quotas speak JSON.
        """
        code, message = escape(self.code), escape(self.message)
        number = uuid.uuid4()
        if service in ("ssm", "servicequotas"):
            answer = json.dumps({"__type": self.code, "message": self.message})
            return "application/x-amz-json-1.1", answer.encode()
        if service == "ec2":
            text = (
                '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
                f"<Code>{code}</Code><Message>{message}</Message></Error></Errors>"
                f"<RequestID>{number}</RequestID></Response>"
            )
        else:
            text = (
                "<ErrorResponse><Error><Type>Sender</Type>"
                f"<Code>{code}</Code><Message>{message}</Message></Error>"
                f"<RequestId>{number}</RequestId></ErrorResponse>"
            )
        return "text/xml;charset=UTF-8", text.encode()
