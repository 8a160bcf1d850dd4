"""How Amazon Linux gets the cluster stack, with a real dnf.

A pair runs from a baked image. Other machines stop once they have their packages; they test what mirrors and
disks can do. Such a machine gets what the owner of a baked image gives it, `userdata.builder`: the step
`packages` of the very same bootstrap, and no cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cloudinit import places, userdata
from tests.cluster import hollow
from tests.cluster.agent_tools import its_metadata_are_shown, pacemaker_validates, passes_ocf_tester
from tests.cluster.conftest import command
from tests.cluster.labs import BOTH_WAYS, launch_beside, on, own_lab, passes, whole_pair
from tests.cluster.launches import Launches
from tests.drill import console
from tests.drill.pair import Pair
from tests.drill.trials import Trial
from tests.lab import image
from tests.lab.amis import ami_id
from tests.lab.faults import Faults
from tests.lab.lab import Lab
from tests.lab.mirror import AMAZON, DEBIAN, OWNER
from tests.lab.process import run
from tests.oldest_python import too_new

NAME = "al2023-tests"
LIMIT_S = 900.0
"""A build takes some two minutes with two processors to itself, and several times that beside other tests."""
REPOSITORY = f"https://{OWNER}/9-stream"
BUILD = "/var/tmp/ec2vip-build"
KEY = f"https://{OWNER}/keys/stream"

eventually = partial(hollow.eventually, within_s=LIMIT_S, pause_s=0.5)
pytestmark = pytest.mark.timeout(3600)  # the first one waits for the baked image


@pytest.fixture(scope="module")
def lab(machine: None) -> Iterator[Lab]:
    """A lab whose pair runs the baked image, made by the user's own command."""
    with own_lab(NAME) as lab:
        made = command("up", lab=NAME, timeout_s=3600, PLATFORM="al2023", AMI="baked")
        assert made.returncode == 0, f"{made.stdout}\n{made.stderr}"
        yield lab


@pytest.fixture
def pair(lab: Lab) -> Pair:
    return whole_pair(lab)


class Machine:
    """One more instance beside the pair, with this user data."""

    def __init__(self, lab: Lab, user_data: bytes) -> None:
        self.lab, self.ec2 = lab, lab.client()
        self.id = launch_beside(lab, ami_id("al2023", "public"), UserData=user_data)

    @property
    def lines(self) -> list[str]:
        return console.lines(self.ec2, self.id)

    def says(self, words: str) -> str:
        """Wait until its console has a line with these words, and return that line."""

        def said() -> bool:
            lines = self.lines
            assert words in "\n".join(lines) or console.FAILED not in "\n".join(lines), "\n".join(lines)
            return words in "\n".join(lines)

        eventually(said, what=f"{self.id} to say {words!r}")
        return next(line for line in self.lines if words in line)

    def reaches(self, stage: str) -> None:
        """Wait until its build is at this stage.

        We do not ask the console: it shows a stage only every 10 s, and may miss a short one.
        """
        eventually(
            lambda: stage in (self.lab.try_in(self.id, ["cat", f"{BUILD}/at"]) or ""),
            what=f"{self.id} to reach {stage!r}",
        )

    def fails(self) -> str:
        """Wait until it has given up, and return why."""
        eventually(lambda: console.FAILED in "\n".join(self.lines), what=f"{self.id} to give up")
        return self.lines[-1].removeprefix(console.FAILED)

    def notes(self, words: str) -> bool:
        """Whether these words are in the last lines of its log."""
        return words in (self.lab.try_in(self.id, ["tail", "/var/log/ec2vip-bootstrap.log"]) or "")

    def bootstraps_again(self) -> None:
        """Start the step again, as a node's unit does at its next boot; waits until systemd takes it."""
        words = ["systemd-run", "--no-block", places.BOOTSTRAP_PATH, "image"]
        eventually(lambda: self.lab.try_in(self.id, words) is not None, what=f"{self.id} to start the step")

    def run(self, *argv: str) -> str:
        return on(self.lab, self.id, *argv)

    def has(self, name: str) -> bool:
        return self.lab.try_in(self.id, ["rpm", "--query", "--whatprovides", name]) is not None


@pytest.fixture
def machines(lab: Lab) -> Iterator[Any]:
    """A function that makes machines. At the end they are gone, and the mirrors are as before."""
    made: list[Machine] = []

    def make(**repository: str) -> Machine:
        made.append(Machine(lab, userdata.builder("al2023", **repository)))
        return made[-1]

    tell(lab)
    yield make
    tell(lab)
    for each in made:
        lab.ask("power-loss", instance_id=each.id)
        lab.client().terminate_instances(InstanceIds=[each.id])


def tell(lab: Lab, down: dict[str, int] | None = None, instead: dict[str, str] | None = None) -> None:
    """Set what the mirrors do from now on (see mirror.Mirror). Without arguments, they work normally."""
    lab.ask("set-mirror", down=down or {}, instead=instead or {})


@pytest.fixture(scope="module")
def owners(lab: Lab) -> dict[str, str]:
    """The owner's own repository, and its key with the fingerprint."""
    return {"repository": REPOSITORY, "key": f"{KEY}#{fingerprint('stream')}"}


def fingerprint(key: str) -> str:
    """The fingerprint of a key in the mirror's folder."""
    path = image.mirror("al2023") / "keys" / key
    shown = run(["gpg", "--with-colons", "--show-keys", str(path)]).stdout
    return next(line for line in shown.splitlines() if line.startswith("fpr:")).split(":")[9]


def test_a_pair_from_an_image_with_the_packages_forms_and_builds_nothing(lab: Lab, pair: Pair) -> None:
    for instance_id in pair.node_ids:
        log = lab.run_in(instance_id, ["cat", "/var/log/ec2vip-bootstrap.log"]).stdout
        assert "Pacemaker, compile" not in log
        assert lab.try_in(instance_id, ["sh", "-c", ". /etc/os-release; [ $ID = amzn ]"]) is not None


def test_what_was_built_is_listed_and_the_tools_are_gone(lab: Lab, pair: Pair) -> None:
    node = pair.node_ids[0]
    listed = lab.run_in(node, ["cat", "/usr/local/share/ec2vip-built"]).stdout
    assert "https://github.com/ClusterLabs/pacemaker/" in listed
    assert "./usr/sbin/pcs\n" in listed
    for tool in ("gcc", "make", "libqb-devel"):
        assert lab.try_in(node, ["rpm", "--query", tool]) is None, tool
    assert lab.try_in(node, ["rpm", "--query", "corosync", "libxslt"]) is not None
    assert "github.com/ClusterLabs/pacemaker/" in lab.run_in(node, [places.REPORT_PATH]).stdout


def test_pcs_as_it_is_unpacked_needs_no_newer_python_than_amazon_linux_has(lab: Lab, tmp_path: Path) -> None:
    for name in ("pcs", "dacite"):
        run(["dpkg-deb", "--extract", str(image.mirror("al2023") / f"sources/{name}.deb"), str(tmp_path)])
    # dacite imports it in a `try`.
    assert too_new(tmp_path / "usr/lib/python3/dist-packages", except_for=["types.UnionType"]) == ""


def test_the_tools_that_were_built_take_the_agent(lab: Lab, pair: Pair) -> None:
    holder = pair.holder()
    node = next(each for each in pair.node_ids if each != holder)
    # Amazon's libxml2 has xmllint; the stand-in's does not.
    name = next(image.mirror("debian12").glob("libxml2-utils_*.deb")).name
    fetch = f"curl -fsSo /tmp/xmllint.deb http://{DEBIAN}/debian/debian12/{name}"
    lab.run_in(node, ["sh", "-c", f"{fetch} && dpkg-deb --extract /tmp/xmllint.deb /"], timeout_s=60)
    passes_ocf_tester(lab, node)
    pacemaker_validates(lab, node)
    its_metadata_are_shown(lab, node)


@pytest.mark.parametrize("trial", BOTH_WAYS, ids=lambda trial: trial.name)
def test_a_pair_that_was_built_keeps_the_vip_when(trial: Trial, pair: Pair) -> None:
    passes(trial, pair)


def test_what_amazons_archives_have_is_taken_from_there(lab: Lab, machines: Any) -> None:
    """This will be the case once Amazon has the cluster stack."""
    tell(lab, instead={"core/": "full/"})
    machine = machines()
    machine.says("image done")
    assert machine.has("pacemaker")
    assert not machine.has("gcc")
    assert lab.try_in(machine.id, ["test", "-e", "/usr/local/share/ec2vip-built"]) is None


def test_what_the_archives_lack_comes_from_the_owners_repository_once_they_answer(
    lab: Lab, machines: Any, owners: dict[str, str]
) -> None:
    """Amazon's mirror is down at first, then the owner's, and then the key is missing."""
    tell(lab, {AMAZON: 503})
    machine = machines(**owners)
    machine.says("still waiting for the packages")
    for status, way in (("503", {"down": {OWNER: 503}}), ("404", {"instead": {"keys/stream": "keys/none"}})):
        tell(lab, **way)
        eventually(partial(machine.notes, f"The requested URL returned error: {status}"))
    tell(lab)
    machine.says("image done")
    assert machine.has("pacemaker")
    assert "enabled=1" not in machine.run("cat", "/etc/yum.repos.d/ec2vip.repo")
    assert not machine.has("gcc")


def test_packages_that_another_key_has_signed_are_refused_at_once(lab: Lab, machines: Any) -> None:
    """The key has the fingerprint that we asked for, but another key has signed the packages."""
    tell(lab, instead={"keys/stream": "keys/amazon"})
    machine = machines(repository=REPOSITORY, key=f"{KEY}#{fingerprint('amazon')}")
    assert "GPG" in machine.fails()
    assert not machine.has("pacemaker")


def test_a_key_with_another_fingerprint_is_refused_at_once(
    lab: Lab, machines: Any, owners: dict[str, str]
) -> None:
    tell(lab, instead={"keys/stream": "keys/amazon"})
    machine = machines(**owners)
    assert f"the key at {KEY} does not have the fingerprint" in machine.fails()


def test_a_repository_without_the_stack_is_named(lab: Lab, machines: Any, owners: dict[str, str]) -> None:
    tell(lab, instead={"stream/HighAvailability/": "stream/BaseOS/"})
    machine = machines(**owners)
    assert machine.fails() == (
        f"packages: neither the system's archives nor {REPOSITORY} have all of pacemaker pcs resource-agents: "
        "see packageRepository"
    )


def test_another_file_than_the_pinned_one_is_refused_before_anything_is_built(
    lab: Lab, machines: Any
) -> None:
    tell(lab, instead={"sources/pcs.deb": "sources/dacite.deb"})
    machine = machines()
    assert "has another file than the one with the SHA-256" in machine.fails()
    assert "Pacemaker" not in "\n".join(machine.lines)


def test_a_build_outlives_late_sources_its_own_end_and_a_power_cut(lab: Lab, machines: Any) -> None:
    """The tier's only build besides that of the baked image: it starts again, and finishes."""
    tell(lab, {"github.com": 503, "snapshot.debian.org": 503})
    machine = machines()
    eventually(partial(machine.notes, "The requested URL returned error: 503"))
    tell(lab)
    machine.reaches("Pacemaker, configure")
    machine.run("systemctl", "kill", "--signal=KILL", "cloud-final.service")
    machine.bootstraps_again()
    machine.reaches("Pacemaker, compile")
    machine.says("building: ")
    with Faults(lab).power_loss(machine.id):
        pass
    eventually(
        lambda: lab.try_in(machine.id, ["sh", "-c", "systemctl is-system-running --wait; true"]) is not None
    )
    machine.bootstraps_again()
    machine.says("image done")
    assert not machine.has("gcc")
    assert "Pacemaker 2.1.5" in machine.run("pacemakerd", "--version")
    assert machine.run("pcs", "--version").strip() == "0.11.5"


def test_a_disk_that_is_full_in_the_middle_of_the_build_is_what_it_says(lab: Lab, machines: Any) -> None:
    machine = machines()
    machine.reaches("Pacemaker")
    with Faults(lab).disk_full(machine.id):
        assert "No space left on device" in machine.fails()


def test_a_node_that_comes_late_joins_the_other(lab: Lab, pair: Pair) -> None:
    """This must be the last test of the file: it terminates the program's own pair."""
    made = Launches(lab)
    made.clear()
    made.launch("b")
    made.hears("b", "bootstrap done")
    made.launch("a")
    made.become_whole()
