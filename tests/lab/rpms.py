"""Makes RPM repositories for the stand-in of Amazon Linux from the archive files that the lab fetches anyway.

Payload and dependencies are Debian's. Packages that the product asks for have the names that Amazon Linux
2023 and CentOS Stream 9 give them (amazonlinux/amazon-linux-2023, support_info.xml). What Amazon's
repositories lack (pacemaker, pcs, resource-agents and what only they need) is in a tree of its own, laid out
as CentOS Stream 9's.

Standard library only. Needs rpmbuild, rpmsign, createrepo_c, gpg and dpkg-deb.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.process import run

RELEASE = "2023.12.20260930"
"""The release that the image is locked to (`releasever`)."""

STACK = ("pacemaker", "pcs", "resource-agents")
"""What Amazon's repositories lack."""

GROUPS = {
    "bzip2-devel": ("libbz2-dev",),
    "corosynclib": (
        *("libcfg7", "libcmap4", "libcorosync-common4", "libcpg4", "libquorum5", "libvotequorum8"),
    ),
    "corosynclib-devel": (
        "libcfg-dev",
        "libcmap-dev",
        "libcorosync-common-dev",
        "libcpg-dev",
        "libquorum-dev",
    ),
    "dbus-devel": ("libdbus-1-dev",),
    "gettext-devel": ("autopoint",),
    "glib2-devel": ("libglib2.0-dev",),
    "gnutls-devel": ("libgnutls28-dev",),
    "libknet1": ("libknet1", "libnozzle1"),
    "libqb": ("libqb100",),
    "libqb-devel": ("libqb-dev",),
    "libtool-ltdl-devel": ("libltdl-dev",),
    "libuuid-devel": ("uuid-dev",),
    "libxml2-devel": ("libxml2-dev",),
    "libxslt": ("libxslt1.1",),
    "libxslt-devel": ("libxslt1-dev",),
    "pacemaker": (
        *("pacemaker", "pacemaker-cli-utils", "pacemaker-common", "pacemaker-resource-agents"),
        *("libcib27", "libcrmcluster29", "libcrmcommon34", "libcrmservice28", "liblrmd28"),
        *("libpacemaker1", "libpe-rules26", "libpe-status28", "libstonithd26"),
    ),
    "pkgconf-pkg-config": ("pkg-config", "pkgconf", "pkgconf-bin"),
}
"""Name of an RPM → the Debian packages in it. A package that is not listed becomes an RPM of its own name."""

SCRIPTS = {
    # What Debian's own scripts do at installation, for packages whose payload alone is not enough.
    "automake": ("post", "for x in aclocal automake; do ln -sf $x-1.16 /usr/bin/$x; done"),
    "nginx": ("post", "systemctl --no-reload preset nginx.service || :"),
    "pacemaker": (
        "pre",
        "getent group haclient || groupadd -r haclient\n"
        "getent passwd hacluster || useradd -r -g haclient -s /sbin/nologin hacluster",
    ),
}
OWNED_DIRS = {
    # Debian makes these at installation.
    "pacemaker": (
        "750:/var/lib/pacemaker/pengine 750:/var/lib/pacemaker/cib 750:/var/lib/pacemaker/cores "
        "750:/var/lib/pacemaker/blackbox 770:/var/log/pacemaker/bundles 770:/var/log/pacemaker"
    )
}
IDLE = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/locale",
    "etc/init.d",
)


@dataclass
class Package:
    """An RPM to build: its name, and the Debian archive files that are its payload."""

    name: str
    debs: list[Path]
    version: str = ""
    noarch: bool = True
    needs: set[str] = field(default_factory=set)
    """Names of the RPMs that it needs."""


def make(debs: Iterable[Path], out: Path, wanted: Iterable[str]) -> None:
    """Build and sign RPMs from the archive files into repositories under `out`.

    `core` has the RPMs in `wanted` (by name) with their dependencies but without the stack; `stream/` has the
    rest. `full` has all, as Amazon might have them one day. `keys/` has the public keys. What is wanted and
    in no archive file is in the image, and the package `lab-userland` provides its name there.

    Raises CommandError with rpmbuild's output.
    """
    packages, wanted = _packages(debs), list(wanted)
    work = out / "work"
    work.mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        made = dict(zip(packages, pool.map(lambda one: _build(one, work), packages.values()), strict=True))
    core = _closure((name for name in wanted if name not in STACK), packages)
    own = {name for name in packages if name in STACK or name.startswith(("cluster-glue", "pacemaker"))}
    stream = packages.keys() - core
    folders = {
        "core": core,
        "stream/HighAvailability/x86_64/os": stream & own,
        "stream/AppStream/x86_64/os": stream - own,
        "stream/BaseOS/x86_64/os": set(),
    }
    for folder, names in folders.items():
        (out / folder).mkdir(parents=True)
        for name in names:
            shutil.move(made[name], out / folder / made[name].name)
    for path in _own(work, [name for name in wanted if name not in packages]):
        shutil.move(path, out / "core" / path.name)
    (out / "spal").mkdir()
    (out / "full").mkdir()
    for path in (out / "stream").rglob("*.rpm"):
        shutil.copy(path, out / "full")
    for key, trees in (("amazon", ("core", "full")), ("stream", ("stream",))):
        files = [path for tree in trees for path in sorted((out / tree).rglob("*.rpm"))]
        _sign(key, files, out / "keys", work / f"gpg-{key}")
    for path in (out / "core").glob("*.rpm"):
        (out / "full" / path.name).hardlink_to(path)
    for folder in (*folders, "spal", "full"):
        run(["createrepo_c", "--quiet", str(out / folder)], timeout_s=300)
    shutil.rmtree(work)


def _packages(debs: Iterable[Path]) -> dict[str, Package]:
    """The RPMs to make from the archive files, by name, each with those of the others that it needs."""
    group_of = {deb: name for name, members in GROUPS.items() for deb in members}
    fields = {path: _fields(path) for path in sorted(debs)}
    found: dict[str, Package] = {}
    provider: dict[str, str] = {}
    for path, about in fields.items():
        name = group_of.get(about["Package"], about["Package"])
        package = found.setdefault(name, Package(name, []))
        package.debs.append(path)
        if not package.version or about["Package"] == name:
            package.version = about["Version"]
        package.noarch = package.noarch and about["Architecture"] == "all"
        provider[about["Package"]] = name
    for about in fields.values():
        for virtual in _names(about.get("Provides", "")):
            provider.setdefault(virtual, provider[about["Package"]])
    for about in fields.values():
        package = found[provider[about["Package"]]]
        for needed in _names(f"{about.get('Depends', '')},{about.get('Pre-Depends', '')}"):
            if provider.get(needed, package.name) != package.name:
                package.needs.add(provider[needed])
    return found


def _fields(path: Path) -> dict[str, str]:
    shown = run(["dpkg-deb", "--field", str(path)]).stdout
    return dict(re.findall(r"^(\S+): (.*)$", shown, re.MULTILINE))


def _names(relation: str) -> list[str]:
    """The first choice of each item of a Debian relationship field."""
    return [re.split(r"[ (:|]", item.strip())[0] for item in relation.split(",") if item.strip()]


def _closure(names: Iterable[str], packages: dict[str, Package]) -> set[str]:
    found: set[str] = set()
    waiting = [name for name in names if name in packages]
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += packages[name].needs
    return found


def _build(package: Package, work: Path) -> Path:
    """Build the package and return its file. The payload goes where a system with merged folders has it."""
    root = work / package.name
    for deb in package.debs:
        run(["dpkg-deb", "--extract", str(deb), str(root)])
    for idle in IDLE:
        shutil.rmtree(root / idle, ignore_errors=True)
    for top in ("bin", "lib", "lib64", "sbin"):
        if (root / top).is_dir():
            shutil.copytree(root / top, root / "usr" / top, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(root / top)
    upstream, _, release = re.sub(r"^\d+:", "", package.version).rpartition("-")
    version = _clean(upstream or release)
    files, provides = [], []
    for path in sorted(root.rglob("*")):
        place = f"/{path.relative_to(root)}"
        if path.is_symlink() or path.is_file():
            files.append(f'%config(noreplace) "{place}"' if place.startswith("/etc/") else f'"{place}"')
            if path.suffix == ".pc":
                provides.append(f"pkgconfig({path.stem}) = {version}")
        elif not any(path.iterdir()):
            files.append(f'%dir "{place}"')
    script = [f"%{SCRIPTS[package.name][0]}", SCRIPTS[package.name][1]] if package.name in SCRIPTS else []
    if package.name in OWNED_DIRS:
        places = OWNED_DIRS[package.name]
        script += [
            "%post",
            f"for d in {places}; do install -d -o hacluster -g haclient -m ${{d%%:*}} ${{d#*:}}; done",
        ]
    return _rpmbuild(
        package.name,
        version,
        "noarch" if package.noarch else "x86_64",
        [
            *(f"Requires: {name}" for name in sorted(package.needs)),
            *(f"Provides: {name}" for name in provides),
        ],
        ["%install", f"cp -a {root}/. %{{buildroot}}/", *script, "%files", *files],
        work,
        _clean(release if upstream else "1"),
    )


def _clean(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+~]", ".", text)


def _own(work: Path, there: list[str]) -> list[Path]:
    """Build the system's packages that do not come from a Debian package, and return their files.

    They are its release, what the image has under other names (`there`), and the package that brings the
    supplement's repository.
    """
    files = {
        "system-release": {"etc/system-release": "Amazon Linux release 2023 (Amazon Linux)\n"},
        "lab-userland": {},
        "spal-release": {"etc/yum.repos.d/amazonlinux-spal.repo": repository("amazonlinux-spal", "spal", 20)},
    }
    provides = {
        "system-release": [f"system-release({RELEASE})", f"system-release = {RELEASE}"],
        "lab-userland": ["/bin/sh", *there],  # scripts in packages need the shell
        "spal-release": [],
    }
    made = []
    for name, content in files.items():
        root = work / f"own-{name}"
        root.mkdir()
        for place, text in content.items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text(text)
        listed = [f'"/{place}"' for place in content]
        install = ["%install", f"cp -a {root}/. %{{buildroot}}/", "%files", *listed]
        version = RELEASE if name == "system-release" else "1"
        made.append(
            _rpmbuild(
                name,
                version,
                "noarch",
                [f"Provides: {each}" for each in provides[name]],
                install,
                work,
                "0.amzn2023",
            )
        )
    return made


def repository(name: str, folder: str, priority: int) -> str:
    """A repository's file as in Amazon's images: it refers to a list of mirrors in the Region's bucket."""
    return (
        f"[{name}]\nname={name}\nenabled=1\npriority={priority}\ngpgcheck=1\nrepo_gpgcheck=0\ntype=rpm\n"
        f"mirrorlist=https://al2023-repos-$awsregion-de612dc2.s3.dualstack.$awsregion.$awsdomain/{folder}/mirrors/"
        "$releasever/$basearch/mirror.list\n"
        "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-amazon-linux-2023\nmetadata_expire=48h\n"
    )


def _rpmbuild(
    name: str, version: str, arch: str, relations: list[str], body: list[str], work: Path, release: str
) -> Path:
    spec = work / f"{name}.spec"
    head = (
        f"Name: {name}",
        f"Version: {version}",
        f"Release: {release}",
        "Summary: made for the lab",
        "License: the package's own",
        f"BuildArch: {arch}",
        "AutoReqProv: no",
        *relations,
        "%description",
        "Made for the lab from Debian's package.",
    )
    spec.write_text("\n".join([*head, *body, ""]))
    out = work / "out" / name
    macros = {
        "_topdir": f"{work}/top-{name}",
        "_rpmdir": str(out),
        "_build_id_links": "none",
        "debug_package": "%{nil}",
        "__os_install_post": "%{nil}",
        "_binary_payload": "w1.gzdio",
        "_unpackaged_files_terminate_build": "0",
    }
    defines = [word for key, value in macros.items() for word in ("--define", f"{key} {value}")]
    run(["rpmbuild", "-bb", "--quiet", *defines, str(spec)], timeout_s=600)
    (made,) = out.rglob("*.rpm")
    return made


def _sign(name: str, files: list[Path], keys: Path, home: Path) -> None:
    """Sign the files with a new key, and write its public half to `keys`/NAME."""
    home.mkdir(mode=0o700)
    keys.mkdir(exist_ok=True)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--no-tty"]
    run([*gpg, "--passphrase", "", "--quick-generate-key", f"lab-{name}", "rsa3072", "sign", "never"])
    run([*gpg, "--armor", "--output", str(keys / name), "--export", f"lab-{name}"])
    run(
        [
            "rpmsign",
            "--addsign",
            "--define",
            f"_gpg_name lab-{name}",
            "--define",
            f"_gpg_path {home}",
            "--define",
            "__gpg /usr/bin/gpg",
            *map(str, files),
        ],
        timeout_s=600,
    )
    run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
