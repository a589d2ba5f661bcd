# SPDX-License-Identifier: Apache-2.0
"""`make peers`: each peer in a virtual environment of its own: their pins exclude ours (numpy<2, protobuf).

    python3 benchmarks/peers/install.py [spu] [heu] [tenseal] [openfhe]

Standard library only. A peer has wheels for some Pythons: the first found is taken, PYTHON_<PEER> forces one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# peer -> (requirements, Pythons with wheels, newest first, import that proves it)
PEERS = {
    "spu": (["spu==0.9.5"], ("3.11", "3.10"), "import spu.psi, spu.libspu"),
    "heu": (["sf-heu==0.6.0b0"], ("3.10",), "from heu import phe, numpy"),
    "tenseal": (["tenseal==0.3.18", "numpy"], ("3.12", "3.11"), "import tenseal.sealapi, numpy"),
    "openfhe": (["openfhe==1.6.1.0.22.4", "numpy"], ("3.10",), "import openfhe, numpy"),
}


def candidates(peer: str) -> list[str]:
    """Interpreters to try, best first: the forced one only, else this one, PATH and pyenv."""
    forced = os.environ.get(f"PYTHON_{peer.upper()}")
    if forced:
        return [forced]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [sys.executable]
    for version in PEERS[peer][1]:
        found += [path for path in [shutil.which(f"python{version}")] if path]
        found += sorted(str(path) for path in pyenv.glob(f"{version}.*/bin/python"))
    return found


def version(python: str) -> str:
    """ "3.11" of an interpreter; empty where it does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def install(peer: str) -> bool:
    """Make .venv-<peer>; True when its import works."""
    requirements, versions, proof = PEERS[peer]
    home = ROOT / f".venv-{peer}"
    inner = home / "bin" / "python"
    if inner.exists() and subprocess.run([inner, "-c", proof], capture_output=True).returncode == 0:
        print(f"{peer}: ready")
        return True
    python = next((name for name in candidates(peer) if version(name) in versions), None)
    if python is None:
        print(f"{peer}: needs Python {' or '.join(versions)}; name one with PYTHON_{peer.upper()}=")
        return False
    print(f"{peer}: installing into .venv-{peer} with Python {version(python)}", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    commands = ([python, "-m", "venv", home], [inner, "-m", "pip", "install", "-q", *requirements])
    return all(subprocess.run(command).returncode == 0 for command in (*commands, [inner, "-c", proof]))


def main() -> int:
    names = sys.argv[1:] or list(PEERS)
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        print(f"unknown peer {unknown[0]}: there are {', '.join(PEERS)}", file=sys.stderr)
        return 2
    failed = [name for name in names if not install(name)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
