from __future__ import annotations

import base64
import gzip
import hashlib
import shlex
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent import ec2vip
from cloudinit import __main__ as command
from cloudinit import cib, corosync, places, userdata
from cloudinit.platforms import PLATFORMS
from cloudinit.spec import NodeSpec, Service
from tests.lab.paths import PROJECT
from tests.unit.cloudinit.conftest import ENCRYPTED, INSTALLER, OWNERS, VIP, make_spec

#: The keys of a cloud-config that the nodes' cloud-init (22.4) knows, with their types in its schema.
KNOWN = {
    "hostname": str,
    "preserve_hostname": bool,
    "prefer_fqdn_over_hostname": bool,
    "manage_etc_hosts": bool,
    "bootcmd": list,
    "write_files": list,
    "runcmd": list,
    "updates": dict,
}


def read(data: bytes) -> dict[str, Any]:
    """User data as cloud-init reads them: unpack, check the first line, load the YAML."""
    text = gzip.decompress(data).decode()
    assert text.splitlines()[0] == "#cloud-config"
    config = yaml.safe_load(text)
    assert isinstance(config, dict)
    return config


def written(spec: NodeSpec) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in read(userdata.render(spec))["write_files"]}


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
@pytest.mark.parametrize("name", ["ec2vip-a", "ec2vip-b"])
def test_what_the_node_reads_is_what_was_meant(platform: str, name: str) -> None:
    spec = make_spec(platform=platform, name=name)
    assert read(userdata.render(spec)) == userdata.cloud_config(spec)


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
@pytest.mark.parametrize("name", ["ec2vip-a", "ec2vip-b"])
def test_every_platform_fits_with_all_there_is_and_room_to_spare(platform: str, name: str) -> None:
    spec = make_spec(
        platform=platform,
        name=name,
        cluster_name="a-cluster-with-quite-a-long-name",
        vips=(VIP, *(IPv4Address(f"10.0.250.{number}") for number in range(190, 200))),
        services=(
            Service(
                name="data",
                agent="ocf:heartbeat:Filesystem",
                parameters={
                    "device": "198.51.100.7:/export/data",
                    "directory": "/srv/data",
                    "fstype": "nfs4",
                },
                packages=("nfs-common",),
                start_s=120,
            ),
            Service(name="nginx", agent="systemd:nginx", packages=("nginx",), moves_vip=False),
        ),
        **ENCRYPTED,
    )
    assert len(userdata.render(spec)) <= 16_350


def test_the_same_node_gets_the_same_bytes(spec: NodeSpec) -> None:
    first = userdata.render(spec)
    assert userdata.render(make_spec()) == first
    assert first[4:8] == bytes(4)  # a gzip stream's time stamp: RFC 1952


def test_the_bytes_are_those_of_every_other_machine() -> None:
    """A compressor, or a version of it, with other output would replace every user's nodes."""
    licence = (PROJECT / "LICENSE").read_text(encoding="utf-8")
    assert hashlib.sha256(userdata._gzip(licence)).hexdigest() == (
        "37451d899ff4c3bc982cb41046dcddac86c966530c707b5eb283471e51397dca"
    )


def test_it_has_the_form_that_cloud_inits_schema_wants(spec: NodeSpec) -> None:
    config = read(userdata.render(spec))
    assert {key: type(value) for key, value in config.items()} == KNOWN
    for each in [*config["bootcmd"], *config["runcmd"]]:
        assert all(isinstance(word, str) for word in each)
    for file in config["write_files"]:
        # Without `permissions`, a file gets 0644.
        assert set(file) in ({"path", "content"}, {"path", "permissions", "content"})
        assert file.get("permissions", "0755") == "0755"
        assert file["path"].startswith("/")


def test_files_are_shown_as_blocks_of_lines(spec: NodeSpec) -> None:
    text = userdata.text(spec)
    assert "  content: |\n   totem {\n     version: 2\n" in text
    assert "\\n" not in text.split("/etc/systemd/system/", 1)[0].replace("'\\n'", "").replace("%s\\n", "")


def test_the_node_is_called_what_corosync_calls_it() -> None:
    config = read(userdata.render(make_spec(name="ec2vip-b")))
    assert (config["hostname"], config["preserve_hostname"]) == ("ec2vip-b", False)


def test_nothing_starts_before_it_is_configured_and_pcsd_never(spec: NodeSpec) -> None:
    mask = read(userdata.render(spec))["bootcmd"][0]
    assert mask[:4] == ["cloud-init-per", "instance", "ec2vip-mask", "systemctl"]
    assert mask[4] == "mask"
    assert set(mask[5:]) == {"corosync.service", "pacemaker.service", "pcsd.service", "pcsd-ruby.service"}


def test_a_boot_that_was_cut_short_is_taken_up_again(spec: NodeSpec) -> None:
    """bootcmd runs first at every boot and links the unit, and no condition holds the unit back."""
    link = read(userdata.render(spec))["bootcmd"][1]
    unit = "/etc/systemd/system/ec2vip-bootstrap.service"
    assert link == [
        "ln",
        "-sf",
        unit,
        "/etc/systemd/system/multi-user.target.wants/ec2vip-bootstrap.service",
    ]
    content = written(spec)[unit]["content"]
    assert "Condition" not in content
    assert "ExecStart=/usr/local/sbin/ec2vip-bootstrap\n" in content


def test_the_bootstrap_is_the_last_that_runcmd_starts(spec: NodeSpec) -> None:
    """Its failure is then cloud-init's failure, so `cloud-init status --wait` reports it."""
    assert read(userdata.render(spec))["runcmd"] == [
        ["systemctl", "daemon-reload"],
        ["systemctl", "start", "ec2vip-bootstrap.service"],
    ]


def test_the_programs_are_executable_and_the_rest_is_not(spec: NodeSpec) -> None:
    programs = {path for path, file in written(spec).items() if "permissions" in file}
    assert programs == {
        "/usr/local/sbin/ec2vip-bootstrap",
        "/usr/local/sbin/ec2vip-report",
        "/usr/local/sbin/ec2vip-guard",
        "/usr/lib/ocf/resource.d/heartbeat/ec2vip",
    }


def test_the_agent_is_a_program_on_the_node(spec: NodeSpec) -> None:
    content = written(spec)["/usr/lib/ocf/resource.d/heartbeat/ec2vip"]["content"]
    assert content.startswith("#!/usr/bin/python3")
    compile(content, "ec2vip", "exec")


def test_the_agents_package_is_whole_and_where_the_program_looks_for_it(spec: NodeSpec) -> None:
    folder = f"{ec2vip.LIBRARY}/agent/"
    found = {
        path.removeprefix(folder): file for path, file in written(spec).items() if path.startswith(folder)
    }
    sources = {source.name for source in places.AGENT_SOURCES.glob("*.py")}
    assert set(found) == sources - {"ec2vip.py", "__init__.py"}
    for name, file in found.items():
        assert "permissions" not in file
        compile(file["content"], name, "exec")


def test_corosync_gets_its_configuration_before_it_is_installed(spec: NodeSpec) -> None:
    assert written(spec)["/etc/corosync/corosync.conf"]["content"] == corosync.conf(spec)


@pytest.mark.parametrize("name", ["corosync", "pacemaker"])
def test_however_often_a_daemon_dies_systemd_starts_it_again(spec: NodeSpec, name: str) -> None:
    """Debian's pacemaker.service has StartLimitBurst=5 in 25 s, and systemd has its own limit."""
    unit = written(spec)[f"/etc/systemd/system/{name}.service.d/50-ec2vip.conf"]["content"]
    assert "StartLimitIntervalSec=0\n" in unit.partition("[Service]")[0]
    assert "RestartSec=3\n" in unit.partition("[Service]")[2]


def test_every_start_of_corosync_brings_pacemaker_along(spec: NodeSpec) -> None:
    """If Corosync fails, systemd drops Pacemaker's waiting start job; the start must not block Corosync."""
    unit = written(spec)["/etc/systemd/system/corosync.service.d/50-ec2vip.conf"]["content"]
    assert "Restart=on-failure\n" in unit
    assert "ExecStartPost=-systemctl start --no-block pacemaker.service\n" in unit


def test_the_network_is_configured_at_a_first_boot_alone(spec: NodeSpec) -> None:
    assert read(userdata.render(spec))["updates"] == {"network": {"when": ["boot-new-instance"]}}


@pytest.mark.subprocess
@pytest.mark.parametrize("seen", [False, True])
def test_cloud_init_writes_the_files_again_until_the_bootstrap_has_seen_them_on_the_disk(
    spec: NodeSpec, tmp_path: Path, seen: bool
) -> None:
    """After a power cut. cloud-init keeps a mark, named like these, per module that runs once an instance."""
    *_, sync, (*words, script) = read(userdata.render(spec))["bootcmd"]
    assert (sync, words) == (["sync"], ["bash", "-c"])
    marks = {"config_write_files", "config_runcmd", "config_scripts_user", "config_ssh"}
    for folder in ("sem", "ec2vip"):
        (tmp_path / folder).mkdir()
    for name in marks:
        (tmp_path / "sem" / name).touch()
    if seen:
        (tmp_path / "ec2vip/written").touch()
    subprocess.run([*words, script.replace("/var/lib/cloud/instance", str(tmp_path))], check=True)
    left = {path.name for path in (tmp_path / "sem").iterdir()}
    assert left == (marks if seen else {"config_ssh"})


@pytest.mark.parametrize("platform", sorted(PLATFORMS))
def test_no_hour_has_updates_on_both_nodes(platform: str) -> None:
    timers = PLATFORMS[platform].update_timers
    for timer in timers:
        path = f"/etc/systemd/system/{timer}.d/50-ec2vip.conf"
        first, second = (
            content
            for name in ("ec2vip-a", "ec2vip-b")
            for where, _, content in userdata.files(make_spec(platform=platform, name=name))
            if where == path
        )
        # The empty OnCalendar removes the package's own hour. If it were persistent, a missed update would run
        # on both nodes as they boot.
        assert first == "[Timer]\nOnCalendar=\nOnCalendar=3:00\nPersistent=no\n"
        assert second == first.replace("=3:", "=15:")
    assert bool(timers) == (platform != "al2023")


def test_a_pacemaker_that_gave_itself_up_is_started_again(spec: NodeSpec) -> None:
    """Its unit has SuccessExitStatus=100, so Restart=on-failure is not enough (systemd.service(5))."""
    unit = written(spec)["/etc/systemd/system/pacemaker.service.d/50-ec2vip.conf"]["content"]
    assert "RestartForceExitStatus=100\n" in unit


def test_pacemaker_brings_its_guard_along(spec: NodeSpec) -> None:
    """The guard needs no enabling: every start of Pacemaker starts it. It runs only this script."""
    files = written(spec)
    wanted = "ec2vip-guard.service"
    assert f"Wants={wanted}\n" in files["/etc/systemd/system/pacemaker.service.d/50-ec2vip.conf"]["content"]
    guard = files[f"/etc/systemd/system/{wanted}"]["content"]
    assert "ExecStart=/usr/local/sbin/ec2vip-guard\n" in guard
    assert "Restart=always\nRestartSec=3\n" in guard
    assert "ProtectSystem=strict\n" in guard


def test_the_pcs_commands_survive_the_way_to_the_node(spec: NodeSpec) -> None:
    content = written(spec)["/etc/ec2vip/settings"]["content"]
    calls = [shlex.split(line) for line in content.splitlines()]
    assert calls == [["setting", *command] for command in cib.commands(spec)]


def test_the_bootstrap_is_told_who_it_is() -> None:
    lines = written(make_spec(name="ec2vip-b"))["/etc/ec2vip/bootstrap.env"]["content"].splitlines()
    values = dict(line.split("=", 1) for line in lines if not line.startswith("declare"))
    assert (values["NODE"], values["ADDRESS"]) == ("ec2vip-b", "10.0.250.187")
    assert (values["PEER"], values["BOOTSTRAPS"]) == ("ec2vip-a", "no")
    assert shlex.split(values["HOSTS"].strip("()")) == ["10.0.250.186 ec2vip-a", "10.0.250.187 ec2vip-b"]
    assert values["SETTINGS"] == cib.digest(make_spec())


def test_too_much_is_refused_with_what_takes_the_room(
    spec: NodeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text(f"#!/usr/bin/python3\nx = {hashlib.shake_256(b'').hexdigest(12_000)!r}\n")
    monkeypatch.setattr(places, "AGENT_SOURCE", agent)
    with pytest.raises(ValueError, match="EC2 takes 16384") as refusal:
        userdata.render(spec)
    assert "compressed: /usr/lib/ocf/resource.d/heartbeat/ec2vip 1" in str(refusal.value)
    assert "ec2vip-a" in str(refusal.value)


def test_a_node_gets_the_installer_of_its_platform_alone() -> None:
    content = {
        name: unpacked(name)
        if name == "al2023"
        else written(make_spec(platform=name))["/etc/ec2vip/install.sh"]["content"]
        for name in PLATFORMS
    }
    assert {name for name in PLATFORMS if "dnf " in content[name]} == {"al2023"}
    assert {name for name in PLATFORMS if "make " in content[name]} == {"al2023"}
    assert {name for name in PLATFORMS if "apt-get" in content[name]} == PLATFORMS.keys() - {"al2023"}


def unpacked(*words: str) -> str:
    return gzip.decompress(userdata.installer(*words) or b"").decode()


def test_a_repository_of_the_owners_comes_in_place_of_the_build() -> None:
    text = unpacked("al2023", *OWNERS)
    assert "yum.repos.d" in text
    assert f"REPOSITORY={OWNERS[0]}\n" in text
    assert "make " not in text
    assert "SOURCES=" not in text
    assert "yum.repos.d" not in unpacked("al2023")


@pytest.mark.parametrize("owners", [(), OWNERS], ids=["build", "repository"])
def test_a_parameter_has_room_for_the_installer(owners: tuple[str, ...]) -> None:
    data = userdata.installer("al2023", *owners)
    assert data is not None
    assert data == userdata.installer("al2023", *owners), "other bytes would replace the nodes"
    assert len(base64.b64encode(data)) <= 4000, "a standard parameter holds 4096 characters"


def test_an_installer_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="and a parameter holds 4096; shorten packageRepository"):
        userdata.installer(
            "al2023", f"https://mirror.example/{hashlib.shake_256(b'').hexdigest(2500)}", OWNERS[1]
        )


def test_a_platform_whose_archives_have_the_stack_needs_no_parameter() -> None:
    assert {name for name in PLATFORMS if userdata.installer(name)} == {"al2023"}


def test_a_node_without_the_stack_in_its_archives_fetches_the_installer() -> None:
    files = written(make_spec(platform="al2023"))
    assert places.PARAMETER_PATH in files
    assert "dnf " not in files["/etc/ec2vip/install.sh"]["content"]
    environment = files["/etc/ec2vip/bootstrap.env"]["content"]
    assert f"INSTALLER_PARAMETER={INSTALLER['installer_parameter']}\n" in environment
    assert f"INSTALLER_DIGEST={INSTALLER['installer_digest']}\n" in environment
    with pytest.raises(ValueError, match="set installer_parameter and installer_digest"):
        userdata.render(make_spec(platform="al2023", installer_parameter="", installer_digest=""))


def test_a_machine_that_becomes_an_image_gets_the_packages_and_nothing_of_a_pair() -> None:
    config = read(userdata.builder("al2023"))
    assert config["runcmd"] == [["/usr/local/sbin/ec2vip-bootstrap", "image"]]
    files = {file["path"]: file["content"] for file in config["write_files"]}
    node = written(make_spec(platform="al2023"))
    bootstrap = "/usr/local/sbin/ec2vip-bootstrap"
    assert files[bootstrap] == node[bootstrap]["content"]
    assert files["/etc/ec2vip/install.sh"] == unpacked("al2023")
    wanted = set(files["/etc/ec2vip/bootstrap.env"].splitlines())
    assert wanted <= set(node["/etc/ec2vip/bootstrap.env"]["content"].splitlines())


def test_with_encryption_the_node_is_told_where_the_key_is_and_gets_the_program_that_fetches_it() -> None:
    files = written(make_spec(**ENCRYPTED))
    environment = files["/etc/ec2vip/bootstrap.env"]["content"].splitlines()
    assert f"KEY_PARAMETER={ENCRYPTED['key_parameter']}" in environment
    assert f"KEY_DIGEST={ENCRYPTED['key_digest']}" in environment
    compile(files[places.PARAMETER_PATH]["content"], "ec2vip-parameter", "exec")
    assert places.PARAMETER_PATH not in written(make_spec())


def test_the_command_writes_user_data_of_machines_beside_a_pair(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    for kind, made in {"image": userdata.builder, "probe": userdata.probe}.items():
        assert command.main([kind, "al2023"]) == 0
        assert capfdbinary.readouterr().out == made("al2023")
    for wrong in (["image", "plan9"], ["nodes", "al2023"], ["image"]):
        assert command.main(wrong) == 2
    assert b"usage: python -m cloudinit image|probe al2023|debian12" in capfdbinary.readouterr().err
