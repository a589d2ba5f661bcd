# SPDX-License-Identifier: Apache-2.0
"""The codes of `crypsis.vole` against committed answers, on every backend: vectors/lpn.json, written by make_lpn.py."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from crypsis import backends, vole

VECTORS = json.loads((Path(__file__).parent / "vectors" / "lpn.json").read_text())

every_backend = pytest.mark.parametrize("backend", backends.runnable("vole"))


def blocks(label: str, n: int) -> np.ndarray:
    data = hashlib.shake_128(f"crypsis lpn {label}".encode()).digest(16 * n)
    return np.frombuffer(data, np.uint8).reshape(n, 16).copy()


def from_hex(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text), np.uint8)


def sha256(data: np.ndarray) -> str:
    return hashlib.sha256(data.tobytes()).hexdigest()


@every_backend
@pytest.mark.parametrize("case", VECTORS["primal"], ids=lambda case: case["label"])
def test_primal(backend: str, case: dict) -> None:
    label, n, seed = case["label"], case["n"], from_hex(case["seed"])
    table, out = blocks(f"{label} table", 1 << case["log_table"]), blocks(f"{label} noise", n)
    positions = vole.primal_positions(seed, n, case["log_table"], backend=backend)
    assert positions[0].tolist() == case["first_positions"]
    vole.primal_encode(seed, table, out, backend=backend)
    assert out[0].tobytes().hex() == case["first"]
    assert sha256(out) == case["sha256"]


@every_backend
@pytest.mark.parametrize("case", VECTORS["expand_convolute"], ids=lambda case: case["label"])
def test_expand_convolute(backend: str, case: dict) -> None:
    vector, out = (
        blocks(f"{case['label']} vector", 1 << case["log_code"]),
        np.empty((case["n"], 16), np.uint8),
    )
    vole.expand_convolute(from_hex(case["seed"]), vector, out, weight=case["weight"], backend=backend)
    assert out[0].tobytes().hex() == case["first"]
    assert sha256(out) == case["sha256"]


@every_backend
@pytest.mark.parametrize("case", VECTORS["correlated_trees"], ids=lambda case: f"depth{case['depth']}")
def test_correlated_trees(backend: str, case: dict) -> None:
    leaves = np.empty((1 << case["depth"], 16), np.uint8)
    seed, delta = from_hex(case["seed"]).reshape(1, 16), from_hex(case["delta"])
    sums = vole.expand_correlated(seed, delta, case["depth"], leaves, backend=backend)
    assert sha256(leaves) == case["leaves_sha256"]
    assert sha256(sums) == case["sums_sha256"]
