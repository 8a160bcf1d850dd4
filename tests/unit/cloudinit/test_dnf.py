"""How a node with dnf gets the cluster stack: in which order, what it waits for, and what it reports.

dnf, curl and the compiler are fakes. The cluster tier shows that the real ones give the texts expected here.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import signal
import tarfile
from pathlib import Path

import pytest

from cloudinit import userdata
from tests.unit.cloudinit.conftest import INSTALLER, OWNERS, make_spec
from tests.unit.cloudinit.fake_node import FakeNode

pytestmark = pytest.mark.subprocess  # a shell script is tested by running it

STACK = "pacemaker\npcs\nresource-agents\n"
KEY, _, FINGERPRINT = OWNERS[1].partition("#")


def archive(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def with_sources(node: FakeNode) -> FakeNode:
    """Give the node sources that the fakes can build, at the addresses in its installer."""
    files = node.fakes / "files"
    files.mkdir()
    upstream = archive({"pacemaker-2/autogen.sh": "#!/bin/sh\n", "pacemaker-2/configure": "#!/bin/sh\n"})
    (files / "pacemaker.tar.gz").write_bytes(upstream)
    (files / "patches.tar.xz").write_bytes(lzma.compress(archive({"debian/patches/series": ""})))
    agents = {"./usr/lib/ocf/resource.d/heartbeat/IPaddr2": "#!/bin/sh\n"}
    modules = {
        "./usr/lib/python3/dist-packages/pcs/pcsd.py": "",
        "./usr/sbin/pcsd": "",
        "./lib/x.service": "",
    }
    (files / "data.tar.xz").write_bytes(lzma.compress(archive({**agents, **modules})))
    (files / "pcs.deb").write_bytes(b"a package")
    sources = [
        f"'{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()} https://one.example/{path.name}'"
        for path in sorted(files.iterdir())
        if path.name != "data.tar.xz"
    ]
    put_installer(node, f"SOURCES=({' '.join(sources)})\n")
    return node


def put_installer(node: FakeNode, more: str = "", *owners: str) -> None:
    """Set what the node's parameter holds: the product's installer, then `more`."""
    text = gzip.decompress(userdata.installer("al2023", *owners) or b"") + more.encode()
    (node.fakes / "parameter").write_bytes(gzip.compress(text))


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    """A node of Amazon Linux whose archives have only Corosync."""
    return with_sources(FakeNode(tmp_path, make_spec(platform="al2023")))


@pytest.fixture
def owners(tmp_path: Path) -> FakeNode:
    """The same, with the owner's package repository."""
    node = FakeNode(tmp_path, make_spec(platform="al2023"))
    put_installer(node, "", *OWNERS)
    (node.fakes / "files").mkdir()
    (node.fakes / "files" / "RPM-GPG-KEY").write_text("the key")
    node.say("fingerprint", f"pub:-:4096:1:05B555B38483C65D:\nfpr:::::::::{FINGERPRINT}:\n")
    return node


@pytest.fixture
def fetching(tmp_path: Path) -> FakeNode:
    """A node whose archives have everything it needs."""
    node = FakeNode(tmp_path, make_spec(platform="al2023"))
    put_installer(node)
    node.say("offers", f"corosync\n{STACK}")
    return node


def test_the_installer_is_fetched_if_packages_are_lacking_and_not_again(fetching: FakeNode) -> None:
    assert fetching.bootstrap().returncode == 0, fetching.last_line
    told = f"{INSTALLER['installer_parameter']} {INSTALLER['installer_digest']}"
    (call,) = fetching.calls_of("python-of-the-agent -I")
    assert f"/ec2vip-parameter {told} " in call
    assert len(installed(fetching)) == 1
    assert fetching.bootstrap().returncode == 0
    assert fetching.calls_of("python-of-the-agent -I") == []


def test_an_installer_that_is_late_is_waited_for_and_told_with_the_reason(fetching: FakeNode) -> None:
    fetching.say("key-failures", "3")
    assert fetching.bootstrap().returncode == 0, fetching.last_line
    assert len(fetching.calls_of("python-of-the-agent -I")) == 4


def test_an_installer_that_cannot_be_had_is_told_with_the_reason(fetching: FakeNode) -> None:
    fetching.say("key-failures", "999")
    assert fetching.bootstrap(EC2VIP_PACKAGES_LIMIT="0").returncode == 1
    assert fetching.last_line == (
        "ec2vip: bootstrap failed: packages: the packages: not within 0 s (AccessDeniedException: not authorized)"
    )
    assert installed(fetching) == []


def installed(node: FakeNode) -> list[str]:
    return [call for call in node.calls_of("dnf") if " install " in call]


def test_what_the_systems_archives_have_is_taken_from_there(node: FakeNode) -> None:
    node.say("offers", f"corosync\n{STACK}")
    assert node.bootstrap().returncode == 0, node.last_line
    (install,) = installed(node)
    assert install.endswith(" corosync pacemaker pcs resource-agents iproute")
    assert node.calls_of("make") == []


def test_then_what_their_supplement_has(node: FakeNode) -> None:
    node.say("offers-spal", STACK)
    assert node.bootstrap().returncode == 0, node.last_line
    release, install = installed(node)
    assert release.endswith(" install spal-release")
    assert " pacemaker " in install
    assert node.calls_of("make") == []


def test_what_neither_has_is_built(node: FakeNode) -> None:
    run = node.bootstrap()
    assert run.returncode == 0, run.stdout
    assert (node.root / "usr/lib/ocf/resource.d/heartbeat/IPaddr2").exists()
    assert (node.root / "usr/lib/systemd/system/pacemaker.service").exists()
    assert (node.root / "usr/lib/python3/dist-packages/pcs/pcsd.py").exists()
    assert not (node.root / "usr/sbin/pcsd").exists(), "pcs's web service"
    modules = node.root / "usr/lib/python3.9/site-packages/ec2vip.pth"
    assert modules.read_text() == "/usr/lib/python3/dist-packages\n"
    assert not (node.root / "var/tmp/ec2vip-build").exists()
    assert not (node.fakes / "compiler").exists(), "the tools stay"


def test_what_was_built_is_listed_with_its_origin(node: FakeNode) -> None:
    node.bootstrap()
    listed = (node.root / "usr/local/share/ec2vip-built").read_text().splitlines()
    assert any(line.startswith("pacemaker.tar.gz ") and "https://" in line for line in listed)
    assert "./usr/lib/ocf/resource.d/heartbeat/IPaddr2" in listed


def test_nothing_optional_is_installed_and_no_silent_mirror_is_passed_over(node: FakeNode) -> None:
    node.bootstrap()
    for call in [*installed(node), *[call for call in node.calls_of("dnf") if "makecache" in call]]:
        assert "--setopt=install_weak_deps=False" in call
        assert "--setopt=skip_if_unavailable=False --setopt=*.skip_if_unavailable=False" in call


@pytest.mark.parametrize("what", ["dnf-silent", "dnf-failures", "curl-failures"])
def test_a_mirror_that_is_away_is_waited_for(node: FakeNode, what: str) -> None:
    node.say(what, "3")
    node.say("dnf-says", "  - Status code: 503 for https://mirror/repomd.xml (IP: 198.51.100.20)\n")
    assert node.bootstrap().returncode == 0, node.last_line


def test_a_mirror_that_stays_away_is_named_with_dnfs_own_reason(node: FakeNode) -> None:
    node.say("dnf-silent", "999")
    node.say(
        "dnf-says",
        "  - Status code: 503 for https://mirror/repomd.xml (IP: 198.51.100.20)\n"
        "Error: Failed to download metadata for repo 'amazonlinux': All mirrors were tried\n"
        "You can remove cached packages by executing 'dnf clean packages'.\n",
    )
    assert node.bootstrap(EC2VIP_PACKAGES_LIMIT="0").returncode == 1
    assert node.last_line == (
        "ec2vip: bootstrap failed: packages: the packages: not within 0 s "
        "(  - Status code: 503 for https://mirror/repomd.xml (IP: 198.51.100.20))"
    )


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ("Error: GPG check FAILED\nThe downloaded packages were saved.\n", "Error: GPG check FAILED"),
        (
            "Error: \n Problem: conflicting requests\n  - nothing provides libx needed by pacemaker\n"
            "(try to add '--skip-broken' to skip uninstallable packages)\n",
            "  - nothing provides libx needed by pacemaker",
        ),
        ("No match for argument: x\nError: Unable to find a match: x\n", "Error: Unable to find a match: x"),
        (
            "Error: Transaction test error:\n  installing package gcc needs 90MB more space needed on the / fs\n",
            "  installing package gcc needs 90MB more space needed on the / fs",
        ),
    ],
    ids=["signature", "dependency", "no such package", "disk"],
)
def test_what_cannot_heal_ends_at_once_with_dnfs_own_reason(node: FakeNode, says: str, reason: str) -> None:
    node.say("dnf-failures", "999")
    node.say("dnf-says", says)
    assert node.bootstrap().returncode == 1
    assert node.last_line == f"ec2vip: bootstrap failed: packages: {reason}"
    assert len(installed(node)) == 2, "spal-release, and one try"


def test_a_compile_error_ends_at_once_with_the_compilers_reason(node: FakeNode) -> None:
    node.say("compile-failures", "999")
    assert node.bootstrap().returncode == 1
    assert node.last_line.startswith("ec2vip: bootstrap failed: packages: ")
    assert node.last_line.endswith("remote.c:12:3: error: too few arguments")
    assert len(node.calls_of("make")) == 1


def test_a_disk_that_is_full_is_what_it_says_though_the_log_could_not_be_written(node: FakeNode) -> None:
    node.say("compile-failures", "999")
    disk = node.fakes / "bin/df"
    disk.write_text("#!/bin/sh\necho Avail\necho 60\n")
    disk.chmod(0o755)
    assert node.bootstrap().returncode == 1
    assert node.last_line == "ec2vip: bootstrap failed: packages: No space left on device"


def test_another_file_than_the_pinned_one_ends_at_once_and_is_not_used(node: FakeNode) -> None:
    (node.fakes / "files/pcs.deb").write_bytes(b"somebody else's")
    assert node.bootstrap().returncode == 1
    assert "https://one.example/pcs.deb has another file than the one with the SHA-256 " in node.last_line
    assert node.calls_of("make") == []


def test_a_build_that_takes_too_long_is_ended_and_says_where_it_was(node: FakeNode) -> None:
    (node.fakes / "bin/make").write_text("#!/bin/sh\nsleep 600\n")
    assert node.bootstrap(EC2VIP_PACKAGES_LIMIT="3").returncode == 1
    assert node.last_line == (
        "ec2vip: bootstrap failed: packages: the packages: not within 3 s (the build was at: Pacemaker, compile)"
    )


@pytest.mark.parametrize(
    "moment", ["make", "after make", "ldconfig", "after curl", "after rpm", "dnf --assumeyes"]
)
def test_a_build_that_was_cut_off_anywhere_begins_anew(node: FakeNode, moment: str) -> None:
    node.say("crash-at", moment)
    assert node.bootstrap().returncode == -signal.SIGKILL
    leftover = node.root / "var/tmp/ec2vip-build/root/usr/sbin/left-over"
    leftover.parent.mkdir(parents=True, exist_ok=True)
    leftover.touch()
    assert node.bootstrap().returncode == 0, node.last_line
    assert not (node.root / "usr/sbin/left-over").exists()
    assert not (node.fakes / "compiler").exists(), "the tools of the first try stay"


def test_the_owners_repository_is_used_once_and_for_its_own_packages(owners: FakeNode) -> None:
    owners.say("offers-owner", STACK)
    assert owners.bootstrap().returncode == 0, owners.last_line
    assert "--enablerepo=ec2vip-*" in installed(owners)[-1]
    text = (owners.root / "etc/yum.repos.d/ec2vip.repo").read_text()
    assert "baseurl=https://mirror.example/9-stream/HighAvailability/$basearch/os/\n" in text
    key = owners.root / "etc/pki/rpm-gpg/ec2vip"
    assert text.count(f"enabled=0\ngpgcheck=1\ngpgkey=file://{key}\npriority=200\n") == 3
    assert key.read_text() == "the key"
    assert owners.calls_of("make") == []


def test_a_key_with_another_fingerprint_is_refused_at_once(owners: FakeNode) -> None:
    owners.say("fingerprint", f"fpr:::::::::{FINGERPRINT[::-1]}:\n")
    assert owners.bootstrap().returncode == 1
    assert owners.last_line == (
        f"ec2vip: bootstrap failed: packages: the key at {KEY} does not have the fingerprint {FINGERPRINT}: "
        "see packageRepositoryKey"
    )
    assert not list((owners.root / "etc/yum.repos.d").iterdir())


def test_a_key_that_is_late_is_waited_for(owners: FakeNode) -> None:
    owners.say("offers-owner", STACK)
    owners.say("curl-failures", "3")
    assert owners.bootstrap().returncode == 0, owners.last_line


def test_a_repository_without_the_stack_ends_at_once(owners: FakeNode) -> None:
    assert owners.bootstrap().returncode == 1
    assert owners.last_line == (
        "ec2vip: bootstrap failed: packages: neither the system's archives nor https://mirror.example/9-stream "
        "have all of pacemaker pcs resource-agents: see packageRepository"
    )
