"""Runs the real Pulumi on one stack of a project. Its state is in a folder; the checkout does not change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab import plugin
from tests.lab.process import CommandError, run

PASSPHRASE = "not a secret: the state of a lab is thrown away with it"
UP_LIMIT_S = 1500.0
"""The program itself waits up to 20 min for its nodes: those of Amazon Linux build, both at once."""
COMMAND_LIMIT_S = 120.0


@dataclass(frozen=True)
class Step:
    """What a preview says about one resource: operation, name, type, and the inputs that differ."""

    operation: str
    name: str
    type: str
    differences: frozenset[str]


class PulumiStack:
    """One stack of the project in `project_dir`, run by the `pulumi` on PATH with the AWS provider of `plugin`.

    `state_dir` keeps the backend, Pulumi's home and a project folder. There the program is a link and the
    settings are copies, because Pulumi writes a salt into them, and `configure` writes values. Stacks that
    share a `state_dir` see each other's outputs. `env` is added to this process's environment; the provider
    takes `AWS_ENDPOINT_URL`, the Region and the credentials from it.

    Each instance copies the settings anew, so the checkout's are always the ones in effect.
    """

    def __init__(
        self, project_dir: Path, stack: str, state_dir: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.stack = stack
        self.state_dir = state_dir.resolve()
        self._env = dict(env or {})
        self._exists = False
        settings = yaml.safe_load((project_dir / "Pulumi.yaml").read_text())
        self.project = str(settings["name"])
        self.folder = self.state_dir / "projects" / f"{self.project}-{stack}"
        self._lay_out(project_dir.resolve())

    @property
    def settings_file(self) -> Path:
        """The copy of the stack's settings that is in effect."""
        return self.folder / f"Pulumi.{self.stack}.yaml"

    @property
    def full_name(self) -> str:
        """The stack's name in the backend, as a StackReference wants it."""
        return f"organization/{self.project}/{self.stack}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that `pulumi` needs to find this state, in addition to this process's environment."""
        path = self._env.get("PATH", os.environ.get("PATH", ""))
        return {
            **self._env,
            "PATH": os.pathsep.join([str(plugin.plugin().parent), str(Path(sys.executable).parent), path]),
            "PULUMI_BACKEND_URL": f"file://{self.state_dir / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_HOME": str(self.state_dir / "home"),
            "PULUMI_PYTHON_CMD": sys.executable,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
        }

    def init(self) -> None:
        """Make the stack in the backend, unless it exists."""
        if self._exists:
            return
        if self.stack not in {
            s["name"].rsplit("/", 1)[-1] for s in json.loads(self.run("stack", "ls", "--json"))
        }:
            self.run("stack", "init", self.stack)
        self._exists = True

    def up(self, *options: str) -> str:
        """Bring the stack up and return what `pulumi` prints. Raises CommandError if that fails."""
        self.init()
        return self.run("up", "--yes", *options, timeout_s=UP_LIMIT_S)

    def begin_up(self) -> subprocess.Popen[str]:
        """Start an `up` without waiting for it; the caller ends it."""
        self.init()
        return subprocess.Popen(
            self._words("up", "--yes", "--skip-preview"),
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def preview(self, *options: str) -> list[Step]:
        """What an `up` would change; empty if it would change nothing."""
        self.init()
        report = json.loads(self.run("preview", "--json", *options))
        return [_step(step) for step in report["steps"] if step["op"] not in ("same", "read")]

    def refresh(self) -> dict[str, int]:
        """Bring the state in line with the cloud. Returns the number of resources by kind of change."""
        self.run("refresh", "--yes", timeout_s=UP_LIMIT_S)
        return self.last_changes()

    def destroy(self) -> str:
        """Remove everything, and return what `pulumi` prints. Raises CommandError if that fails."""
        return self.run("destroy", "--yes", timeout_s=UP_LIMIT_S)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs by name, secret ones as `[secret]`."""
        found: dict[str, Any] = json.loads(self.run("stack", "output", "--json"))
        return found

    def state(self) -> dict[str, Any]:
        """The state as the backend has it, secrets encrypted."""
        found: dict[str, Any] = json.loads(self.run("stack", "export"))
        return found

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the state."""
        found: list[dict[str, Any]] = self.state()["deployment"].get("resources", [])
        return found

    def last_changes(self) -> dict[str, int]:
        """The number of resources by kind of change in the last operation."""
        history = json.loads(self.run("stack", "history", "--json", "--page-size", "1"))
        return {op: count for op, count in history[0].get("resourceChanges", {}).items() if count}

    def configure(self, values: Mapping[str, Any]) -> None:
        """Change the copy of the settings: values by key, in the project's namespace; None removes a key."""
        settings = yaml.safe_load(self.settings_file.read_text()) or {}
        config = settings.setdefault("config", {})
        for key, value in values.items():
            name = self._in_settings(key)
            config.pop(name, None)
            if value is not None:
                config[name] = value
        self.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))

    def configured(self, key: str) -> Any:
        """The value of a key in the copy of the settings. Raises KeyError if it has none."""
        return yaml.safe_load(self.settings_file.read_text())["config"][self._in_settings(key)]

    def has(self, key: str) -> bool:
        """Whether the copy of the settings has the key."""
        return self._in_settings(key) in yaml.safe_load(self.settings_file.read_text())["config"]

    def _in_settings(self, key: str) -> str:
        """The key's full name in the settings; a key without a namespace is in the project's."""
        return key if ":" in key else f"{self.project}:{key}"

    def configure_secret(self, key: str, value: str) -> None:
        """Set a value that the settings hold encrypted."""
        self.init()
        self.run("config", "set", "--secret", key, stdin=value)

    def run(self, *words: str, stdin: str | None = None, timeout_s: float = COMMAND_LIMIT_S) -> str:
        """Run `pulumi` for this stack and return its standard output. Raises CommandError if it fails."""
        return run(self._words(*words), input=stdin, env=self.environment, timeout_s=timeout_s).stdout

    def _words(self, *words: str) -> list[str]:
        stack = [] if words[:2] in (("stack", "ls"), ("stack", "init")) else ["--stack", self.stack]
        return ["pulumi", "--non-interactive", "--color=never", "-C", str(self.folder), *words, *stack]

    def _lay_out(self, project_dir: Path) -> None:
        for folder in (self.state_dir / "backend", self.state_dir / "home", self.folder):
            folder.mkdir(parents=True, exist_ok=True)
        settings = [project_dir / "Pulumi.yaml", project_dir / f"Pulumi.{self.stack}.yaml"]
        for source in settings:
            if source.exists():
                shutil.copy(source, self.folder / source.name)
        self.settings_file.touch()
        if plugin.is_real():
            self.configure(plugin.REAL_SETTINGS)
        main = yaml.safe_load(settings[0].read_text()).get("main")
        sources = [project_dir / main] if main else project_dir.glob("*.py")
        for source in sources:
            link = self.folder / source.name
            link.unlink(missing_ok=True)
            link.symlink_to(source)


def _step(step: dict[str, Any]) -> Step:
    *_, kind, name = step["urn"].split("::")
    return Step(
        operation=step["op"],
        name=name,
        type=kind.rsplit("$", 1)[-1],
        differences=frozenset(str(path).split(".")[0] for path in step.get("detailedDiff") or ()),
    )


__all__ = ["CommandError", "PulumiStack", "Step"]
