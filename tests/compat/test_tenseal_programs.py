# SPDX-License-Identifier: Apache-2.0
"""`import tenseal` means this package; whole programs, unchanged, on both where `.venv-tenseal` has TenSEAL."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PROGRAMS = Path(__file__).parent / "programs"
REAL = Path(__file__).parents[2] / ".venv-tenseal" / "bin" / "python"


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.splitlines()[-1:]
    return done.stdout


def ours(name: str) -> Any:
    return json.loads(
        run(sys.executable, "-W", "error", "-m", "crypsis.compat.tenseal", str(PROGRAMS / name))
    )


def theirs(name: str) -> Any:
    if not REAL.exists():
        pytest.skip("needs TenSEAL as the peer: make peers")
    return json.loads(run(str(REAL), str(PROGRAMS / name)).splitlines()[-1])


@pytest.fixture(scope="module")
def logistic() -> Any:
    return ours("tenseal_logistic.py")


def test_logistic_regression(logistic: Any) -> None:
    """The encrypted model is as good as the plain one: scored, and trained, on encrypted rows."""
    assert logistic["encrypted accuracy"] == logistic["plain accuracy"] >= 0.8
    assert logistic["score error"] < 0.1  # scale 2^20: noise of about 2^-6 a product with the sum of 9
    assert logistic["blind error"] < 0.1
    assert logistic["trained encrypted"] == logistic["trained in the clear"] >= 0.8
    assert logistic["weight error"] < 0.02


@pytest.mark.slow
def test_logistic_regression_in_tenseal(logistic: Any) -> None:
    """TenSEAL takes its primes for 2^20 where it rescales, an error of up to 0.6 here: rows nearer to 0 may differ."""
    real = theirs("tenseal_logistic.py")
    plain = np.array(logistic["plain scores"])
    np.testing.assert_allclose(real["plain scores"], plain, rtol=1e-9)
    clear = np.abs(plain) > real["score error"]
    assert clear.mean() > 0.5
    assert (np.sign(real["encrypted scores"]) == np.sign(logistic["encrypted scores"]))[clear].all()
    assert abs(real["encrypted accuracy"] - logistic["encrypted accuracy"]) <= 0.15
    assert logistic["score error"] < real["score error"]


def test_aggregation() -> None:
    found = ours("tenseal_aggregation.py")
    assert found["size"] == 9000
    assert found["server is public"]
    assert found["error"] < 1e-6
    assert found["bytes a weight"] < 40


def test_aggregation_in_tenseal() -> None:
    found, real = ours("tenseal_aggregation.py"), theirs("tenseal_aggregation.py")
    assert found["error"] < real["error"] < 1e-4
    assert found["bytes a weight"] < real["bytes a weight"] / 2


def code(text: str) -> str:
    return run(sys.executable, "-W", "error", "-c", textwrap.dedent(text))


def test_install() -> None:
    assert (
        code(
            """
            import crypsis.compat.tenseal as ours
            ours.install()
            ours.install()
            import tenseal as ts
            from tenseal.enc_context import Context, SecretKey
            from tenseal.tensors import CKKSVector, PlainTensor
            from tenseal.tensors.ckksvector import CKKSVector as same
            assert ts is ours and CKKSVector is same is ts.CKKSVector and ts.__version__.startswith("0.3")
            ours.uninstall()
            import sys
            assert not any(name.startswith("tenseal") for name in sys.modules)
            print("done")
            """
        )
        == "done\n"
    )


def test_install_too_late() -> None:
    assert (
        code(
            """
            import sys, types
            sys.modules["tenseal"] = types.ModuleType("tenseal")
            import crypsis.compat.tenseal as ours
            try:
                ours.install()
            except ImportError as error:
                print("imported already" in str(error))
            ours.uninstall()
            assert "tenseal" in sys.modules
            """
        )
        == "True\n"
    )


def test_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crypsis.compat.tenseal"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "usage" in done.stderr
