# SPDX-License-Identifier: Apache-2.0
"""`import phe` means this package, in processes of their own; and whole programs, unchanged, against both."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(__file__).parent / "programs"


def python(*arguments: str, rc: int = 0) -> str:
    command = [sys.executable, "-W", "error", "-W", "ignore::UserWarning", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == rc, done.stderr.splitlines()[-1:]
    return done.stdout


def code(text: str) -> str:
    return python("-c", textwrap.dedent(text))


def test_install() -> None:
    assert (
        code(
            """
            import crypsis.compat.phe
            crypsis.compat.phe.install()
            crypsis.compat.phe.install()
            import phe
            import phe.paillier as paillier, phe.util, phe.encoding, phe.command_line, phe.__about__
            from phe import EncodedNumber, generate_paillier_keypair
            from phe.paillier import EncryptedNumber, PaillierPublicKey
            assert phe is crypsis.compat.phe and phe.__version__ == "1.5.0"
            assert paillier is crypsis.compat.phe.paillier and phe.paillier is paillier
            assert EncodedNumber is phe.encoding.EncodedNumber
            public, private = generate_paillier_keypair(n_length=512)
            assert isinstance(public.encrypt(1), EncryptedNumber) and isinstance(public, PaillierPublicKey)
            print(private.decrypt(public.encrypt(20) * 2 + 2))
            """
        )
        == "42\n"
    )


def test_uninstall(real: Any) -> None:
    assert (
        code(
            """
            import crypsis.compat.phe as ours
            ours.uninstall()
            ours.install()
            import phe
            assert phe is ours
            ours.uninstall()
            import phe, phe.paillier, phe.util
            assert phe is not ours and phe.paillier is not ours.paillier and phe.util is not ours.util
            ours.uninstall()
            import sys
            assert sys.modules["phe"] is phe
            print("crypsis" in phe.__file__)
            """
        )
        == "False\n"
    )


def test_install_after_the_real_one(real: Any) -> None:
    assert (
        code(
            """
            import phe
            import crypsis.compat.phe as ours
            try:
                ours.install()
            except ImportError as error:
                print("imported already" in str(error), phe is not ours)
            import sys
            assert sys.modules["phe"] is phe
            """
        )
        == "True True\n"
    )


def test_the_runner_wants_a_program() -> None:
    python("-m", "crypsis.compat.phe", rc=1)


def test_the_runner_passes_arguments(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("ANSWER = 42\n")
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, beside, phe\nprint(__name__, sys.argv[1:], beside.ANSWER, phe.__name__)\n"
    )
    out = python("-m", "crypsis.compat.phe", str(program), "-x", "y")
    assert out == "__main__ ['-x', 'y'] 42 crypsis.compat.phe\n"


@pytest.mark.parametrize(
    "program", sorted(path.name for path in PROGRAMS.glob("*.py") if not path.name.startswith("tenseal_"))
)
def test_a_program_unchanged(real: Any, program: str) -> None:
    path = str(PROGRAMS / program)
    assert python("-m", "crypsis.compat.phe", path) == python(path)
