"""Set-up from nothing: `python3 -m tests.lab.toolchain LEVEL -- COMMAND…` installs what LEVEL needs, then
becomes COMMAND with all of it on PATH.

Levels, each with the ones before it:
  python   the virtual environment with requirements.txt and the `test` extra
  engine   the Pulumi command-line tool and its Python language host
  lab      Debian packages for nodes and networks (root on Linux); a command makes the images that it needs
  test     like `lab` if this machine can have it, else `engine` with the reason; in CI always `lab`

With level `running`, COMMAND gets what the lab LAB was started with; nothing is installed unless that is
gone. If there is no such lab, it says so. For a stack in an AWS account (STACK) the level is `engine`.

Everything slow lands in the cache (see paths.cache_dir), keyed by what it was made from, complete or not at all.
Standard library only, Python 3.10 or later.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab import cache
from tests.lab.errors import LabError, explained
from tests.lab.files import read_json
from tests.lab.log import say, step
from tests.lab.paths import DEFAULT_LAB, PROJECT, TOOLS, cache_dir, lab_dir
from tests.lab.process import run
from tests.lab.turns import one_at_a_time

LEVELS = ("python", "engine", "lab", "test", "running")

PACKAGES = {
    # Debian and Ubuntu package → a file that shows it's there (dpkg may not know of a hand-made install).
    "apt-utils": "/usr/bin/apt-ftparchive",
    "createrepo-c": "/usr/bin/createrepo_c",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "gpg": "/usr/bin/gpg",
    "iproute2": "/usr/sbin/ip",
    "iputils-ping": "/usr/bin/ping",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "nftables": "/usr/sbin/nft",
    "openssl": "/usr/bin/openssl",
    "rpm": "/usr/bin/rpmbuild",
    "systemd-container": "/usr/bin/systemd-nspawn",
    "e2fsprogs": "/usr/sbin/mkfs.ext4",
    "util-linux": "/usr/bin/nsenter",
}

LOCK = PROJECT / "tests/requirements.lock"
"""Every Python package by version and hash: root installs exactly what was tested. `make lock` writes it."""

PULUMI_VERSION = "3.259.0"
"""The version of the engine that we build. Another one on PATH will do, from OLDEST_PULUMI on."""
OLDEST_PULUMI = (3, 208)
LANGUAGE_HOST_VERSION = "3.78.0"
"""The newest release of the Go SDK whose module still holds the Python language host's program."""
OLDEST_GO = (1, 25)

LAB_STACK = "local"
"""The lab's stack: as tests.drill.clouds.STACK, which we can't import without the virtual environment."""

READY, INTERRUPTED = -1, 130
"""Results of the preparation: the command can start, or the user has pressed Ctrl-C."""

FREE_BYTES = {"python": 2 << 30, "engine": 6 << 30, "lab": 8 << 30}
"""Free disk space that a level needs to install (the Go build's own cache is the largest part)."""


class NoLabError(LabError):
    """There is no lab of that name. For `down` that is no failure."""


def ensure(level: str) -> dict[str, str]:
    """Install what `level` needs and return the environment to run with.

    Raises LabError with the remedy if this machine can't have it.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 (this is what tells the user)
        raise LabError(f"Python {platform.python_version()} is too old", "install Python 3.10 or later")
    if level == "lab":
        require_lab_machine()
    if not (found := _there(level)):
        with one_at_a_time():
            found = [_virtual_environment()]
            if level != "python":
                found.insert(0, _pulumi())
            if level == "lab":
                _packages()
            _use(found)
            cache.prune()
    *engine, virtual = _use(found)
    path = [*map(str, engine), str(virtual / "bin"), os.environ["PATH"]]
    return {"PATH": ":".join(path), "VIRTUAL_ENV": str(virtual)}


def _use(folders: Sequence[Path]) -> Sequence[Path]:
    """Mark those of the folders that are in the cache as used now, so that pruning does not take them."""
    for folder in folders:
        if folder.parent == cache_dir():
            cache.use(folder)
    return folders


def _there(level: str) -> list[Path]:
    """What `level` needs, if all is there and no pruning is due: then a read-only cache will do."""
    found = [venv_dir()] if (venv_dir() / "complete").exists() else []
    if level != "python":
        engine = _pulumi_on_path() or pulumi_dir()
        found = [engine, *found] if found and (engine / "pulumi").exists() else []
    if (level == "lab" and _missing_packages()) or cache.is_due():
        return []
    return found


def of_running_lab() -> dict[str, str]:
    """The environment that the lab LAB was started with. Raises LabError if it is missing or not ours."""
    name = os.environ.get("LAB") or DEFAULT_LAB
    folder = lab_dir(name)
    if not folder.exists():
        raise NoLabError(f"no lab {name!r} runs here", "start one with `make up`")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise LabError(f"lab {name!r} in {folder} is another user's", "run it with sudo, or as root")
    with contextlib.suppress(LabError):
        tools = read_json(folder / TOOLS)
        if tools and (Path(tools["VIRTUAL_ENV"]) / "bin/python").exists():
            return {key: str(value) for key, value in tools.items()}
    # Started by hand, or what it was started with is gone.
    return ensure("engine")


def require_lab_machine() -> None:
    """Raise LabError if the lab can't run here: it needs Linux, root and a Debian-like package manager."""
    if platform.system() != "Linux":
        raise LabError(f"the lab needs Linux; this is {platform.system()}", "use a Debian or Ubuntu machine")
    if os.geteuid() != 0:
        raise LabError(
            "the lab needs root: it makes namespaces and boots nodes", "run it with sudo, or as root"
        )
    if not shutil.which("apt-get"):
        raise LabError("apt-get is not here", "use Debian 12 or 13, or Ubuntu 22.04 or later")


@contextlib.contextmanager
def _removed_unless_complete(folder: Path) -> Iterator[None]:
    """Remove the folder if the block fails or is interrupted."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def require_room(folder: Path, level: str) -> None:
    """Raise LabError if the disk under `folder` has less room than `level` needs."""
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES[level]:
        raise LabError(
            f"{folder} has {free >> 20} MiB free; set-up needs {FREE_BYTES[level] >> 20} MiB",
            "free some, or point EC2VIP_CACHE at a larger disk",
        )


def venv_dir() -> Path:
    """Where the virtual environment is, keyed by its packages' versions and hashes and by this Python."""
    # The key has nothing of the checkout's path, so that two checkouts share one.
    wanted = repr((sys.version, LOCK.read_text()))
    return cache_dir() / f"venv-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"


def _virtual_environment() -> Path:
    """The virtual environment with what the project and its tests need; makes it if there is none."""
    folder = venv_dir()
    done = folder / "complete"
    if done.exists():
        return folder
    require_room(cache_dir(), "python")
    with (
        step("installing Python packages", expected="about 1 min, the first time only"),
        _removed_unless_complete(folder),
    ):
        shutil.rmtree(folder, ignore_errors=True)
        made = run([sys.executable, "-m", "venv", str(folder)], check=False)
        if made.returncode != 0:
            # Debian's and Ubuntu's own Python comes without the module's pip.
            _apt_install(["python3-venv"])
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(folder)])
        run(
            [
                str(folder / "bin/pip"),
                "install",
                "--quiet",
                "--require-hashes",
                "--requirement",
                str(LOCK),
            ],
            timeout_s=1800,
            remedy="see pip's message; pip must reach a package index",
        )
        done.touch()
    return folder


def declared() -> list[str]:
    """What the project asks for, in ranges: requirements.txt and the `test` extra of pyproject.toml.

    Python 3.10 has no TOML reader of its own, so there we use pip's.
    """
    try:
        import tomllib
    except ImportError:
        from pip._vendor import tomli as tomllib  # type: ignore[no-redef]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    return [
        *(line for line in lines if line and not line.startswith("#")),
        *project["optional-dependencies"]["test"],
    ]


def _pulumi_on_path() -> Path | None:
    """The folder of the Pulumi on PATH, if it is new enough and has its Python language host."""
    found = shutil.which("pulumi")
    if found and shutil.which("pulumi-language-python") and _pulumi_version(found) >= OLDEST_PULUMI:
        return Path(found).parent
    return None


def pulumi_dir() -> Path:
    """The folder in the cache for the engine that we build."""
    return cache_dir() / f"pulumi-{PULUMI_VERSION}"


def _pulumi() -> Path:
    """The folder with `pulumi` and its Python language host: PATH's, or built here.

    We build from Go modules because go.sum has their hashes; Pulumi's installer names none for its downloads.
    """
    if found := _pulumi_on_path():
        return found
    folder = pulumi_dir()
    if (folder / "pulumi").exists():
        return folder
    require_room(cache_dir(), "engine")
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    with _removed_unless_complete(aside):
        _build_pulumi(aside)
        aside.rename(folder)
    return folder


def _pulumi_version(program: str) -> tuple[int, ...]:
    words = run([program, "version"], check=False).stdout.strip().lstrip("v").split(".")
    return tuple(int(word) for word in words[:2] if word.isdigit())


def _build_pulumi(into: Path) -> None:
    """Build the command-line tool and the language host from Go modules."""
    go = shutil.which("go")
    version = run([go, "env", "GOVERSION"]).stdout.strip() if go else "none"
    if tuple(int(word) for word in version.removeprefix("go").split(".")[:2] if word.isdigit()) < OLDEST_GO:
        raise LabError(
            f"neither a Pulumi release nor Go {OLDEST_GO[0]}.{OLDEST_GO[1]} is here (Go: {version})",
            f"install Pulumi {PULUMI_VERSION} or Go, and put it on PATH",
        )
    into.mkdir(parents=True)
    with step(f"building Pulumi {PULUMI_VERSION}", expected="about 4 min on 2 cores, the first time only"):
        _go_build("pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", PULUMI_VERSION, into / "pulumi")
    with step("building Pulumi's Python language host", expected="about 15 s"):
        _go_build(
            "language-python",
            "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
            LANGUAGE_HOST_VERSION,
            into / "pulumi-language-python",
        )
        sdk = run(
            ["go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi/sdk/v3"],
            cwd=PROJECT / "tests/lab/gomod/pulumi",
        ).stdout.strip()
        launcher = into / "pulumi-language-python-exec"
        shutil.copyfile(Path(sdk) / "python/cmd/pulumi-language-python-exec", launcher)
        launcher.chmod(0o755)


def _go_build(module: str, package: str, version: str, output: Path) -> None:
    flags = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}"
    run(
        [
            "go",
            "build",
            "-trimpath",
            "-tags",
            "osusergo,grpcnotrace",
            "-ldflags",
            flags,
            "-o",
            str(output),
            package,
        ],
        cwd=PROJECT / "tests/lab/gomod" / module,
        env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"},
        timeout_s=3600,
        remedy="see Go's message; Go must reach a module proxy",
    )


def _packages() -> None:
    """Install the Debian packages that are missing, and say which."""
    if missing := _missing_packages():
        _apt_install(missing)


def _missing_packages() -> list[str]:
    return [name for name, proof in PACKAGES.items() if not Path(proof).exists()]


def _apt_install(names: Sequence[str]) -> None:
    require_lab_machine()
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing Debian packages: {' '.join(names)}"):
        run(
            ["apt-get", "update", "--quiet"],
            env=environment,
            timeout_s=600,
            remedy="fix apt's sources, then run the command again",
        )
        run(
            ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *names],
            env=environment,
            timeout_s=1200,
            remedy="fix what apt-get reports, then run the command again",
        )


def _environment(level: str) -> dict[str, str]:
    if level == "running":
        return of_running_lab() if (os.environ.get("STACK") or LAB_STACK) == LAB_STACK else ensure("engine")
    if level != "test":
        return ensure(level)
    try:
        return ensure("lab")
    except LabError as error:
        if os.environ.get("CI"):
            raise
        say(f"continuing without the lab: {error}")
        return ensure("engine")


def main(arguments: Sequence[str]) -> int:
    """Entry point; see the module's docstring. Returns an exit status only if the command can't be run."""
    if len(arguments) < 3 or arguments[0] not in LEVELS or arguments[1] != "--":
        say(f"usage: python3 -m tests.lab.toolchain {'|'.join(LEVELS)} -- COMMAND…")
        return 2
    level, command = arguments[0], list(arguments[2:])

    def prepare() -> int:
        try:
            os.environ.update(_environment(level))
        except NoLabError as error:
            say(str(error))
            return 0 if command[-1] == "down" else 1
        except KeyboardInterrupt:
            say("interrupted; finished parts stay in the cache, and the next run makes the others again")
            return INTERRUPTED
        return READY

    if (status := explained(prepare)) != READY:
        return status
    return os.execvp(command[0], command)  # noqa: S606 (becomes the command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
