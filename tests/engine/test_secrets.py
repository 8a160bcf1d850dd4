"""A secret encryption key stays one: in the settings, the state and the outputs."""

from __future__ import annotations

import base64
import json
import secrets

from .cloud import Cloud


def test_the_encryption_key_is_nowhere_in_clear_but_on_the_nodes(fresh_cloud: Cloud) -> None:
    key = base64.b64encode(secrets.token_bytes(256)).decode()
    stack = fresh_cloud.stack()
    stack.configure_secret("encryptionKey", key)
    said = stack.up()
    user_data = [instance.user_data for instance in fresh_cloud.emulator.instances()]
    encoded = [base64.b64encode(data).decode() for data in user_data]
    assert len(encoded) == 2
    for text in (
        stack.settings_file.read_text(),
        json.dumps(stack.state()),
        json.dumps(stack.outputs()),
        said,
    ):
        for hidden in (key, *encoded):
            assert hidden not in text
    stack.up("--skip-preview")
    assert set(stack.last_changes()) == {"same"}


def test_without_a_key_nothing_is_secret(fresh_cloud: Cloud) -> None:
    stack = fresh_cloud.stack()
    stack.up("--skip-preview")
    (instance, *_) = [i for i in fresh_cloud.emulator.instances() if i.name == "ec2vip-a"]
    assert base64.b64encode(instance.user_data).decode() in json.dumps(stack.state())
    assert "[secret]" not in json.dumps(stack.outputs())
