# SPDX-License-Identifier: Apache-2.0
"""Installed as users install it: the wheel and the editable checkout, each in a virtual environment of its own.

`slow`, since the package is built for it. Everything runs outside the checkout, so that nothing comes from there by
accident. The Python that runs the tests shares its dependencies; the other supported one gets its own from the index.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
SMOKE = """
import hashlib
import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
import crypsis, crypsis.kernels, crypsis.mpc, crypsis.mpc.cli, crypsis.mpc.data, crypsis.mpc.psi, crypsis.mpc.transport
from crypsis import backends, curve25519, hashing

ids = np.arange(48, dtype=np.uint8).reshape(3, 16)
expected = [hashlib.sha256(row.tobytes()).digest() for row in ids]
key = X25519PrivateKey.generate()
scalar = np.frombuffer(key.private_bytes_raw(), np.uint8)
base = np.zeros((1, 32), np.uint8)
base[0, 0] = 9
if [digest.tobytes() for digest in hashing.sha256(ids)] != expected:
    raise SystemExit("sha256 is wrong")
if curve25519.scalar_mult(scalar, base)[0].tobytes() != key.public_key().public_bytes_raw():
    raise SystemExit("scalar_mult is wrong")
if not any(row.chosen for row in backends.report()):
    raise SystemExit("no backend was chosen")
print(crypsis.__version__, crypsis.__file__)
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Output of a command; a failure shows all of it."""
    words = [str(word) for word in command]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        words, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}"
    return done.stdout


def interpreter(version: str) -> str | None:
    """A Python of this version: the running one, on PATH, or among pyenv's."""
    if version == RUNNING:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [*sorted(pyenv.glob(f"{version}.*/bin/python")), shutil.which(f"python{version}")]
    for python in found:
        # A pyenv shim is on PATH for every version it knows and fails for those that are not selected.
        if python and subprocess.run([python, "-c", "import venv"], capture_output=True).returncode == 0:
            return str(python)
    return None


@dataclass(frozen=True)
class Environment:
    """A virtual environment with what Crypsis builds with and depends on, and a folder for build output."""

    version: str
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def build(self, form: str, *options: str | Path) -> None:
        """tools/build_package.py; both forms by the same Python, so that the second one compiles nothing again."""
        tool = ROOT / "tools" / "build_package.py"
        run(self.python, tool, form, "--build-dir", self.folder.parent / "build", *options)

    def pip(self, *arguments: str | Path) -> None:
        """The running Python's pip, working on this environment (Debian's venv brings none)."""
        run(sys.executable, "-m", "pip", "--python", self.python, *arguments)

    def smoke(self, outside: Path) -> str:
        """Import everything and call two kernels, in a folder that is not the checkout; version and location."""
        (outside / "smoke.py").write_text(SMOKE, encoding="utf-8")
        command = self.folder / "bin" / "crypsis"
        assert run(command, "--help", cwd=outside)
        return run(self.python, "-W", "error", "smoke.py", cwd=outside).strip().splitlines()[-1]

    def bench(self, outside: Path) -> None:
        """Suites are listed and run, peers of a checkout are left out with the remedy, and rows name the release."""
        command = self.folder / "bin" / "crypsis"
        assert "psi/vole/in memory" in run(command, "bench", "list", cwd=outside)
        run(command, "bench", "run", "kernels", "--peers", "--out", "rows.jsonl", cwd=outside)
        rows = [
            json.loads(line) for line in (outside / "rows.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        assert "curve25519/scalar_mult" in [row["name"] for row in rows]
        assert {row["commit"] for row in rows} == {f"release {PROJECT['project']['version']}"}
        assert all("hashlib" in row["peers"] for row in rows if row["name"].startswith("hashing/sha256/"))
        told = run(command, "bench", "run", "ckks", "--peers", "--quiet", cwd=outside)
        assert "left out: TenSEAL: " in told
        assert "make peers (in a checkout)" in told


@pytest.fixture(scope="module", params=["3.11", "3.12"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    version: str = request.param
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not on PATH nor in PYENV_ROOT")
    made = Environment(version, tmp_path_factory.mktemp(f"python{version}") / "venv")
    run(python, "-m", "venv", "--without-pip", made.folder)
    if version == RUNNING:
        # Found through the path, not as a site folder: the .pth file of an editable crypsis there stays without effect.
        site = run(made.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    else:
        requirements = PROJECT["build-system"]["requires"] + PROJECT["project"]["dependencies"]
        made.pip("install", "--quiet", "pip", "cmake", "ninja", *requirements)
    return made


@pytest.mark.slow
def test_wheel(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.build("wheel", "--out", tmp_path)
    (wheel,) = tmp_path.glob("crypsis-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    version = PROJECT["project"]["version"]
    assert tops == {"crypsis", f"crypsis-{version}.dist-info"}
    assert {"crypsis/__init__.py", "crypsis/py.typed", "crypsis/mpc/__init__.py"} <= set(names)
    assert any(name.startswith("crypsis/_core.") and name.endswith(".so") for name in names)
    assert f"crypsis-{version}.dist-info/licenses/LICENSE" in names
    unwanted = ("csrc", "tests", "benchmarks", "tools", "NOTES.md", ".cpp", "__pycache__")
    assert not [name for name in names if any(word in name for word in unwanted)]
    environment.pip("install", "--quiet", "--no-deps", "--force-reinstall", wheel)
    shown, location = environment.smoke(tmp_path).split()
    assert shown == version
    assert Path(location).is_relative_to(environment.folder)
    monkeypatch.setenv("CRYPSIS_BENCH_SIZES", "tiny")
    environment.bench(tmp_path)
    environment.pip("uninstall", "--quiet", "--yes", "crypsis")


@pytest.mark.slow
def test_editable(environment: Environment, tmp_path: Path) -> None:
    environment.build("editable")
    shown, location = environment.smoke(tmp_path).split()
    assert shown == PROJECT["project"]["version"]
    assert Path(location) == ROOT / "bindings" / "crypsis" / "__init__.py"
    environment.pip("uninstall", "--quiet", "--yes", "crypsis")


def test_running_installation_is_of_this_checkout() -> None:
    """What the other tests import: built from here, with its command."""
    assert metadata.version("crypsis") == PROJECT["project"]["version"]
    (command,) = metadata.entry_points(group="console_scripts", name="crypsis")
    assert callable(command.load())
