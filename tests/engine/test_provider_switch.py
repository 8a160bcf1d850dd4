"""`make test PROVIDER=aws`: Pulumi starts the real plugin and points it at the lab.

Here, the plugin is a script that only records how Pulumi started and configured it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.lab.paths import PROJECT
from tests.lab.plugin import NAME
from tests.lab.pulumi_stack import CommandError

from .cloud import REGION, Cloud

RECORDER = f"""#!{sys.executable}
import json, os, sys
sys.path[0] = {str(PROJECT)!r}
import grpc
from tests.aws.provider import service
from tests.aws.provider.messages import to_values

class Recorder(service.Provider):
    def CheckConfig(self, request, context):
        return service.pb.CheckResponse(inputs=request.news)

    def Configure(self, request, context):
        with open(os.environ["RECORD"], "w") as record:
            json.dump({{"argv": sys.argv, "env": dict(os.environ), "settings": to_values(request.args)}}, record)
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "written down")

service.Provider = Recorder
service.main()
"""


def test_the_real_plugin_is_started_and_led_to_the_lab(
    fresh_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "opt" / NAME
    plugin.parent.mkdir()
    plugin.write_text(RECORDER)
    plugin.chmod(0o755)
    monkeypatch.setenv("EC2VIP_PROVIDER", "aws")
    monkeypatch.setenv("PULUMI_AWS_PLUGIN", str(plugin))
    record = tmp_path / "record.json"
    stack = fresh_cloud.stack(env={"RECORD": str(record)})
    with pytest.raises(CommandError) as caught:
        stack.preview()
    assert "written down" in caught.value.stdout + caught.value.stderr
    found = json.loads(record.read_text())
    assert found["argv"][0] == str(plugin)
    assert found["env"]["AWS_ENDPOINT_URL"] == fresh_cloud.url
    assert found["env"]["AWS_EC2_METADATA_DISABLED"] == "true"
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(found["env"])
    settings = found["settings"]
    assert settings["region"] == REGION
    for name in ("skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation"):
        assert settings[name] in (True, "true"), name
