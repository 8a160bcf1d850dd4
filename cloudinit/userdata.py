"""A node's user data: one cloud-config, gzipped; the same node gets the same bytes every time."""

from __future__ import annotations

import functools
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
#: tiers"): 4 KB. Base64 makes four characters of three bytes.
MAX_PARAMETER = 4096

#: The bootstrap makes WRITTEN once the files are on the disk. _MARKS are what cloud-init leaves when it has run
#: the modules that write the files and start the bootstrap.
WRITTEN = "/var/lib/cloud/instance/ec2vip/written"
_MARKS = "/var/lib/cloud/instance/sem/config_{write_files,runcmd,scripts_user}"


def render(spec: NodeSpec, *, spare: int = 0) -> bytes:
    """The user data for one node: a gzipped `#cloud-config` without a time stamp.

    Raises ValueError if the platform is unknown, if it needs an installer and the spec names no parameter for
    one, or if the result with `spare` bytes is more than EC2 takes; the message then names the largest files.
    """
    data = _gzip(text(spec))
    if len(data) + spare > MAX_BYTES:
        raise ValueError(_too_large(spec, len(data)))
    return data


def text(spec: NodeSpec) -> str:
    """The cloud-config of `spec` as it reads on the node."""
    return _yaml(cloud_config(spec))


def _yaml(config: dict[str, Any]) -> str:
    return "#cloud-config\n" + yaml.dump(config, Dumper=_Dumper, sort_keys=False, default_flow_style=False)


def cloud_config(spec: NodeSpec) -> dict[str, Any]:
    """The cloud-config of `spec` as data.

    cloud-init only puts files in place and starts the bootstrap. The bootstrap installs the packages too, because
    it can wait for a mirror and resume after a boot that was cut short. cloud-init's own modules never resume once
    they have begun.
    """
    return {
        "hostname": spec.name,
        "preserve_hostname": False,
        "prefer_fqdn_over_hostname": False,
        # The bootstrap adds the members; cloud-init's template would overwrite them at every boot.
        "manage_etc_hosts": False,
        # By default cloud-init writes EC2's secondary addresses, and so the VIP, into the network's settings at
        # each change of the interfaces, from 24.1 on (cloudinit/sources/DataSourceEc2.py,
        # default_update_events).
        "updates": {"network": {"when": ["boot-new-instance"]}},
        "bootcmd": [
            # Nothing starts on installation, or from a baked image, before it is configured.
            ["cloud-init-per", "instance", "ec2vip-mask", "systemctl", "mask", *units.MASKED],
            # cloud-init writes the unit a moment later; with this link it runs again after a reboot at any point.
            [
                "ln",
                "-sf",
                f"/etc/systemd/system/{units.BOOTSTRAP_UNIT}",
                f"/etc/systemd/system/multi-user.target.wants/{units.BOOTSTRAP_UNIT}",
            ],
            # If a power cut leaves data/set-hostname empty, cloud-init before 23.1 fails at every later boot, and
            # reads no user data. This is our first chance to bring that file to the disk.
            ["sync"],
            # A power cut soon after the first boot wrote its files leaves them empty, but cloud-init's marks say
            # that they are written. Until the bootstrap has synced them to the disk, cloud-init writes them again.
            ["bash", "-c", f"[ -e {WRITTEN} ] || rm -f {_MARKS}"],
        ],
        "write_files": _write_files(files(spec)),
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "start", units.BOOTSTRAP_UNIT],
        ],
    }


def builder_files(name: str, repository: str = "", key: str = "") -> list[tuple[str, bool, str]]:
    """The files, as `files` has them, for a machine that becomes an image with a platform's packages.

    `name` is the platform's; `repository` and `key` are `package_repository` and `package_repository_key` of a
    `NodeSpec`. Raises ValueError if the platform is unknown.
    """
    chosen = platform(name)
    environment = _packages(chosen, []) + _array("SERVICE_UNITS", [])
    return [
        ("/etc/ec2vip/bootstrap.env", False, environment),
        ("/etc/ec2vip/install.sh", False, _installer(chosen, repository, key)),
        (places.BOOTSTRAP_PATH, True, _script(places.BOOTSTRAP_SOURCE)),
    ]


def builder(name: str, repository: str = "", key: str = "") -> bytes:
    """The user data for such a machine: at the end its console says "ec2vip: image done", or why it failed.

    It takes the arguments of `builder_files`.
    """
    return _machine(builder_files(name, repository, key), [places.BOOTSTRAP_PATH, "image"])


def probe(name: str) -> bytes:
    """The user data for a machine that also installs the packages, reports on its console and shuts down.

    Raises ValueError if the platform is unknown.
    """
    return _machine(
        [*builder_files(name), (places.PROBE_PATH, True, _script(places.PROBE_SOURCE))], [places.PROBE_PATH]
    )


def _machine(entries: Iterable[tuple[str, bool, str]], command: list[str]) -> bytes:
    """The user data for a machine outside a pair, which gets these files and runs this command."""
    config = {
        "bootcmd": [["cloud-init-per", "instance", "ec2vip-mask", "systemctl", "mask", *units.MASKED]],
        "write_files": _write_files(entries),
        "runcmd": [command],
    }
    return _gzip(_yaml(config))


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which writes files as literal blocks with the least indentation."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent literal blocks by one column: the spaces add up to 100 bytes of a node's user data."""
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
    """The files that the node gets: path, whether it is a program, content.

    Raises ValueError if the platform is unknown, or if it needs an installer and the spec names no parameter.
    """
    chosen = platform(spec.platform)
    if chosen.build and not spec.installer_parameter:
        raise ValueError(
            f"user data have no room for the installer of {spec.platform}; put `installer` into a parameter, and "
            "set installer_parameter and installer_digest"
        )
    hour = units.UPDATE_HOURS[spec.members.index(spec.member)]
    # Similar files are neighbours, which helps the compressor.
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
    """What the bootstrap must know, as variables of bash."""
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
    """What the bootstrap must know about packages, as variables of bash."""
    return "".join(
        [
            _array("PACKAGES", (*chosen.packages, *services)),
            _array("SERVICE_PACKAGES", services),
            _scalar("INTERPRETER", chosen.interpreter),
        ]
    )


def installer(name: str, repository: str = "", key: str = "") -> bytes | None:
    """The gzipped script by which a node of this platform gets its packages, the same bytes every time.

    None if the script is in the user data. It takes the arguments of `builder_files`. Raises ValueError if the
    platform is unknown, or if the script in base64 does not fit into a parameter.
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
    """The script by which a node gets its packages, with only the parts that this node needs."""
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


@functools.cache  # both nodes get the same text
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
    """The content, gzipped, without a time stamp: the same bytes on every machine.

    zopfli brings its own compressor. Python's gzip uses the system's zlib, which differs on some systems
    (zlib-ng), and other bytes would replace the nodes.
    """
    return bytes(zopfli.gzip.compress(content.encode()))


def _too_large(spec: NodeSpec, size: int) -> str:
    """The error's text, which names the largest files by what each takes on its own, compressed."""
    sizes = sorted(((len(_gzip(content)), path) for path, _, content in files(spec)), reverse=True)
    takers = ", ".join(f"{path} {count}" for count, path in sizes[:3])
    return (
        f"user data of {spec.name} is {size} bytes and EC2 takes {MAX_BYTES}; "
        f"the largest files, compressed: {takers}; shorten them"
    )
