# SPDX-License-Identifier: Apache-2.0
"""Matrices and inner sums on one core beside SEAL (through `tenseal.sealapi`), TenSEAL and OpenFHE.

64 x 64 with the vector repeated over all slots. SEAL's is by 8 baby and 8 giant steps, a rotation each, with its
plaintexts encoded beforehand, as ours; TenSEAL's is its own `mm`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.test_ckks import EXTRA, RNG, SIDE, Scene, scene
from crypsis import ckks

__all__ = ["scene"]
pytestmark = pytest.mark.usefixtures("one_core")


def test_matvec(compare: Any, scene: Scene) -> None:
    weights = RNG.uniform(-1, 1, (SIDE, SIDE))
    matrix = ckks.Matrix(scene.literal, weights, period=SIDE)
    public = scene.secret.public_key(rotations=matrix.rotations, relinearise=False)
    repeated = public.encrypt(np.tile(scene.x[:SIDE], len(scene.x) // SIDE), magnitude=1)
    compare(
        f"ckks/64x64 matrix-vector/{scene.name}",
        lambda: matrix @ repeated,
        items=1,
        check=scene.near(weights @ scene.x[:SIDE]),
        peers=scene.peers("matvec") | scene.tenseal("tenseal_matvec"),
        unit="products",
        extra=EXTRA | {"galois_keys": len(matrix.rotations)},
    )


def test_inner_sum(compare: Any, scene: Scene) -> None:
    def check(ours: ckks.CkksArray, peers: Any) -> None:
        assert np.abs(scene.secret.decrypt(ours) - scene.x.sum()).max() < 1e-3

    compare(
        f"ckks/inner sum/{scene.name}",
        lambda: scene.cx.inner_sum(),
        items=1,
        check=check,
        peers=scene.peers("inner_sum"),
        unit="sums",
        extra=EXTRA,
    )
