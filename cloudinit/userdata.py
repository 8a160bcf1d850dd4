"""A node's user data: one cloud-config, gzipped, the same bytes for the same node every time."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
import zopfli.gzip

from cloudinit import cib, corosync, minify, places, units
from cloudinit.platforms import Platform, platform
from cloudinit.spec import NodeSpec

#: What EC2 takes, before base64 (EC2 User Guide, "Work with instance user data").
MAX_BYTES = 16_384
#: What a parameter of the standard tier holds, in characters (Systems Manager User Guide, "Managing parameter
#: tiers"): 4 KB, and base64 takes four for three bytes.
MAX_PARAMETER = 4096

#: What the bootstrap makes once the files are on the disk; and cloud-init's marks of the modules that made them
#: and that start it.
WRITTEN = "/var/lib/cloud/instance/ec2vip/written"
_MARKS = "/var/lib/cloud/instance/sem/config_{write_files,runcmd,scripts_user}"


def render(spec: NodeSpec) -> bytes:
    """The user data for one node: gzip over a `#cloud-config`, with no time stamp in it.

    Raises ValueError for an unknown platform, for one whose installer is in no parameter, and if the result is
    more than EC2 takes; the message then names the files that take the room.
    """
    data = _gzip(text(spec))
    if len(data) > MAX_BYTES:
        raise ValueError(_too_large(spec, len(data)))
    return data


def text(spec: NodeSpec) -> str:
    """The cloud-config of `spec` as it reads on the node."""
    return _yaml(cloud_config(spec))


def _yaml(config: dict[str, Any]) -> str:
    return "#cloud-config\n" + yaml.dump(config, Dumper=_Dumper, sort_keys=False, default_flow_style=False)


def cloud_config(spec: NodeSpec) -> dict[str, Any]:
    """The cloud-config of `spec` as data.

    cloud-init only puts files in place and starts the bootstrap, which installs the packages too: it can wait
    for a mirror, and a boot that was cut short is taken up by the next one, which cloud-init's own modules do
    not do once they have begun.
    """
    return {
        "hostname": spec.name,
        "preserve_hostname": False,
        "prefer_fqdn_over_hostname": False,
        # The bootstrap adds the members; a template would write them over at every boot.
        "manage_etc_hosts": False,
        # From 24.1 on cloud-init writes EC2's secondary addresses, and so the VIP, into the network's settings at
        # each change of the interfaces (cloudinit/sources/DataSourceEc2.py, default_update_events).
        "updates": {"network": {"when": ["boot-new-instance"]}},
        "bootcmd": [
            # Nothing starts on installation, or from a baked image, before it is configured.
            ["cloud-init-per", "instance", "ec2vip-mask", "systemctl", "mask", *units.MASKED],
            # cloud-init writes the unit a moment later; the link makes it go on after a reboot at any point.
            [
                "ln",
                "-sf",
                f"/etc/systemd/system/{units.BOOTSTRAP_UNIT}",
                f"/etc/systemd/system/multi-user.target.wants/{units.BOOTSTRAP_UNIT}",
            ],
            # A power cut soon after the first boot's files were written leaves them empty, and cloud-init's marks
            # that it has written them: it writes them again until the bootstrap has seen them on the disk.
            ["bash", "-c", f"[ -e {WRITTEN} ] || rm -f {_MARKS}"],
        ],
        "write_files": _write_files(files(spec)),
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "start", units.BOOTSTRAP_UNIT],
        ],
    }


def builder_files(name: str, repository: str = "", key: str = "") -> list[tuple[str, bool, str]]:
    """The files that a machine gets which is to become an image with a platform's packages, as of `files`.

    `name` is the platform's; `repository` and `key` are the `package_repository` and `…_key` of a `NodeSpec`.
    Raises ValueError for an unknown platform.
    """
    chosen = platform(name)
    environment = _packages(chosen, []) + _array("SERVICE_UNITS", [])
    return [
        ("/etc/ec2vip/bootstrap.env", False, environment),
        ("/etc/ec2vip/install.sh", False, _installer(chosen, repository, key)),
        (places.BOOTSTRAP_PATH, True, _script(places.BOOTSTRAP_SOURCE)),
    ]


def builder(name: str, repository: str = "", key: str = "") -> bytes:
    """The user data of such a machine: its console says "ec2vip: image done" at the end, or why it failed.

    The arguments are those of `builder_files`.
    """
    return _machine(builder_files(name, repository, key), [places.BOOTSTRAP_PATH, "image"])


def probe(name: str) -> bytes:
    """The user data of a machine that does the same, says on its console what it found, and ends itself.

    Raises ValueError for an unknown platform.
    """
    return _machine(
        [*builder_files(name), (places.PROBE_PATH, True, _script(places.PROBE_SOURCE))], [places.PROBE_PATH]
    )


def _machine(entries: Iterable[tuple[str, bool, str]], command: list[str]) -> bytes:
    """The user data of a machine of no pair, which has these files and runs this command."""
    config = {
        "bootcmd": [["cloud-init-per", "instance", "ec2vip-mask", "systemctl", "mask", *units.MASKED]],
        "write_files": _write_files(entries),
        "runcmd": [command],
    }
    return _gzip(_yaml(config))


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which shows files as the blocks of lines that they are, as far left as may be."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """One column for a block of lines: the spaces before each add up to 100 bytes of a node's."""
        super().increase_indent(flow, indentless)
        if flow and isinstance(self.event, yaml.ScalarEvent):
            self.indent = (self.indents[-1] or 0) + 1


def _block(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _block)


def _write_files(entries: Iterable[tuple[str, bool, str]]) -> list[dict[str, str]]:
    return [
        {"path": path, **({"permissions": "0755"} if executable else {}), "content": content}
        for path, executable, content in entries
    ]


def files(spec: NodeSpec) -> list[tuple[str, bool, str]]:
    """The files that the node gets: path, whether it is a program, content."""
    chosen = platform(spec.platform)
    if chosen.build and not spec.installer_parameter:
        raise ValueError(
            f"user data have no room for the installer of {spec.platform}; put `installer` into a parameter, and "
            "set installer_parameter and installer_digest"
        )
    hour = units.UPDATE_HOURS[spec.members.index(spec.member)]
    # What is alike stands together, for the compressor.
    return [
        ("/etc/ec2vip/settings", False, _settings(cib.commands(spec))),
        ("/etc/ec2vip/bootstrap.env", False, _environment(spec)),
        ("/etc/corosync/corosync.conf", False, corosync.conf(spec)),
        (f"/etc/systemd/system/{units.GUARD_UNIT}", False, units.GUARD),
        ("/etc/systemd/system/corosync.service.d/50-ec2vip.conf", False, units.COROSYNC),
        ("/etc/systemd/system/pacemaker.service.d/50-ec2vip.conf", False, units.PACEMAKER),
        (f"/etc/systemd/system/{units.BOOTSTRAP_UNIT}", False, units.BOOTSTRAP),
        *(
            (f"/etc/systemd/system/{timer}.d/50-ec2vip.conf", False, units.UPDATES.format(hour=hour))
            for timer in chosen.update_timers
        ),
        (
            "/etc/ec2vip/install.sh",
            False,
            _script(places.FETCH_SOURCE) if spec.installer_parameter else _installer(chosen, "", ""),
        ),
        (places.GUARD_PATH, True, _script(places.GUARD_SOURCE)),
        (places.BOOTSTRAP_PATH, True, _script(places.BOOTSTRAP_SOURCE)),
        (places.REPORT_PATH, True, _script(places.REPORT_SOURCE)),
        (places.AGENT_PATH, True, _program(places.AGENT_SOURCE)),
        *(
            (f"{places.LIBRARY_PATH}/agent/{source.name}", False, _program(source))
            for source in sorted(places.AGENT_SOURCES.glob("*.py"))
            if source not in (places.AGENT_SOURCE, places.AGENT_SOURCES / "__init__.py")
        ),
        *(
            [(places.PARAMETER_PATH, True, _program(places.PARAMETER_SOURCE))]
            if spec.key_parameter or spec.installer_parameter
            else []
        ),
    ]


def _environment(spec: NodeSpec) -> str:
    """What the bootstrap has to know, as bash reads it."""
    chosen = platform(spec.platform)
    return "".join(
        [
            _scalar("NODE", spec.name),
            _scalar("ADDRESS", str(spec.member.address)),
            _array("VIPS", map(str, spec.vips)),
            _scalar("PEER", spec.peer.name),
            _scalar("BOOTSTRAPS", "yes" if spec.bootstraps else "no"),
            _array("HOSTS", (f"{member.address} {member.name}" for member in spec.members)),
            _packages(chosen, _service_packages(spec)),
            _array("SERVICE_UNITS", (service.unit for service in spec.services if service.unit)),
            _array("SERVICE_AGENTS", (s.agent[4:].replace(":", "/") for s in spec.services if not s.unit)),
            _array("IPADDR2", cib.os_addresses(spec)),
            _array("NETWORK_UNITS", chosen.network_units),
            _map("SEED", cib.SEED_PROPERTIES),
            _scalar("GROUP", cib.GROUP),
            _scalar("SETTINGS_PROPERTY", cib.SETTINGS_PROPERTY),
            _scalar("SETTINGS", cib.digest(spec)),
            _scalar("KEY_PARAMETER", spec.key_parameter),
            _scalar("KEY_DIGEST", spec.key_digest),
            *(
                [
                    _scalar("INSTALLER_PARAMETER", spec.installer_parameter),
                    _scalar("INSTALLER_DIGEST", spec.installer_digest),
                ]
                if spec.installer_parameter
                else []
            ),
        ]
    )


def _packages(chosen: Platform, services: Sequence[str]) -> str:
    """What the bootstrap has to know of packages."""
    return "".join(
        [
            _array("PACKAGES", (*chosen.packages, *services)),
            _array("SERVICE_PACKAGES", services),
            _scalar("INTERPRETER", chosen.interpreter),
        ]
    )


def installer(name: str, repository: str = "", key: str = "") -> bytes | None:
    """How a node of this platform gets its packages: a script, gzipped, the same bytes every time.

    None if the user data have it. The arguments are those of `builder_files`. Raises ValueError if the platform is
    unknown, or a parameter has no room for it in base64.
    """
    chosen = platform(name)
    if chosen.build is None:
        return None
    data = _gzip(_installer(chosen, repository, key))
    if (size := 4 * -(-len(data) // 3)) > MAX_PARAMETER:
        raise ValueError(
            f"the installer of {name} is {size} characters in base64, and a parameter holds {MAX_PARAMETER}; "
            "shorten packageRepository, or the scripts and lists of the platform's `build`"
        )
    return data


def _installer(chosen: Platform, repository: str, key: str) -> str:
    """How a node gets its packages, and nothing of how others do."""
    text, build = _script(places.INSTALL_SOURCES[chosen.installer]), chosen.build
    if build is None:
        return text
    text += _array("STACK", build.replaces)
    if repository:
        return (
            text
            + _scalar("REPOSITORY", repository)
            + _scalar("REPOSITORY_KEY", key)
            + _script(places.REPOSITORY_SOURCE)
        )
    archived = (name for name in chosen.packages if name not in build.replaces)
    sources = (f"{source.name} {source.sha256} {' '.join(source.addresses)}" for source in build.sources)
    return "".join(
        [
            text,
            _array("SOURCES", sources),
            _array("BUILD_TOOLS", build.tools),
            _array("BUILD_NEEDS", (*archived, *build.needs)),
            _script(places.BUILD_SOURCE),
        ]
    )


def _service_packages(spec: NodeSpec) -> list[str]:
    return list(dict.fromkeys(name for service in spec.services for name in service.packages))


def _program(source: Path) -> str:
    return minify.python(source.read_text(encoding="utf-8"))


def _script(source: Path) -> str:
    return minify.shell(source.read_text(encoding="utf-8"))


def _scalar(name: str, value: str) -> str:
    return f"{name}={shlex.quote(value)}\n"


def _array(name: str, values: Iterable[str]) -> str:
    return f"{name}=({' '.join(shlex.quote(value) for value in values)})\n"


def _map(name: str, values: Mapping[str, str]) -> str:
    items = " ".join(f"[{shlex.quote(key)}]={shlex.quote(value)}" for key, value in values.items())
    return f"declare -A {name}=({items})\n"


def _settings(commands: Iterable[list[str]]) -> str:
    """pcs commands as calls of the bootstrap's function `setting`."""
    return "".join(f"setting {shlex.join(command)}\n" for command in commands)


def _gzip(content: str) -> bytes:
    """The same bytes on every machine, without a time stamp: zopfli brings its compressor along, where the zlib
    under Python's own gzip is another on some systems (zlib-ng), and other bytes replace the nodes.
    """
    return bytes(zopfli.gzip.compress(content.encode()))


def _too_large(spec: NodeSpec, size: int) -> str:
    """Name the largest files by what each takes on its own, compressed."""
    sizes = sorted(((len(_gzip(content)), path) for path, _, content in files(spec)), reverse=True)
    takers = ", ".join(f"{path} {count}" for count, path in sizes[:3])
    return (
        f"user data of {spec.name} is {size} bytes and EC2 takes {MAX_BYTES}; "
        f"the largest files, compressed: {takers}; shorten them"
    )
