# SPDX-License-Identifier: Apache-2.0
"""CKKS on one core beside SEAL (through `tenseal.sealapi`), TenSEAL and OpenFHE, which `make peers` installs.

Peers time themselves on the same core, in every round. All have the same ring degree, moduli and scale, one special
prime and a digit a modulus; OpenFHE takes 55 bits where the others have 60 (benchmarks/peers/openfhe_ops.py says why).
SEAL's Python binding takes and gives lists of numbers; rows say what that costs it (`seal_list_seconds`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from crypsis import ckks
from crypsis.mpc.bench.peer_process import PeerProcess

pytestmark = pytest.mark.usefixtures("one_core")
RNG = np.random.default_rng(20261122)
SIDE = 64
SETS = {
    "8192 {60,40,40,60}": ckks.Literal(13, (60, 40, 40), (60,), 40),
    "16384 {60,40x7,60}": ckks.Literal(14, (60, *(40,) * 7), (60,), 40),
}


class Scene:
    """Keys, inputs and peers of one parameter set."""

    def __init__(self, name: str) -> None:
        self.name, self.literal = name, SETS[name]
        self.secret = ckks.SecretKey.generate(self.literal)
        n_slots = 2 ** (self.literal.log_n - 1)
        steps = {1, *(2**i for i in range(self.literal.log_n - 1)), *range(8), *range(8, SIDE, 8)} - {0}
        self.public = self.secret.public_key(rotations=sorted(steps))
        self.x, self.y = RNG.uniform(-1, 1, (2, n_slots))
        self.cx, self.cy = self.public.encrypt(self.x), self.public.encrypt(self.y)
        bits = [*self.literal.moduli_bits, *self.literal.special_bits]
        sizes = {"tenseal": bits, "openfhe": [55, *bits[1:]]}
        self.processes = {
            venv: PeerProcess.where_installed(
                venv, script, str(self.literal.log_n), ",".join(map(str, sizes[venv]))
            )
            for venv, script in (("tenseal", "seal_ops.py"), ("openfhe", "openfhe_ops.py"))
        }

    def peers(self, operation: str) -> dict[str, Callable[[], Any]]:
        names = {"tenseal": "SEAL", "openfhe": "OpenFHE"}
        return {names[venv]: process.peer(operation) for venv, process in self.processes.items() if process}

    def tenseal(self, operation: str) -> dict[str, Callable[[], Any]]:
        process = self.processes["tenseal"]
        return {"TenSEAL": process.peer(operation)} if process else {}

    def lists(self, operation: str) -> dict[str, float]:
        """What SEAL's Python binding spends on a call's list of numbers: without, it is this much faster."""
        process = self.processes["tenseal"]
        return {"seal_list_seconds": 1 / process.peer(operation)().per_second} if process else {}

    def near(self, wanted: np.ndarray) -> Callable[[Any, Any], None]:
        def check(ours: ckks.CkksArray, peers: Any) -> None:
            assert np.abs(self.secret.decrypt(ours)[: len(wanted)] - wanted).max() < 1e-4

        return check

    def close(self) -> None:
        for process in self.processes.values():
            if process:
                process.close()


@pytest.fixture(scope="module", params=list(SETS))
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = Scene(request.param)
    yield made
    made.close()


EXTRA = {"threads": 1}


def test_encrypt(compare: Any, scene: Scene) -> None:
    """Encoding included, under the public key."""
    compare(
        f"ckks/encrypt/{scene.name}",
        lambda: scene.public.encrypt(scene.x),
        items=1,
        check=scene.near(scene.x),
        peers=scene.peers("encrypt"),
        unit="encryptions",
        extra=EXTRA | scene.lists("list_in"),
    )


def test_encrypt_symmetric(compare: Any, scene: Scene) -> None:
    """Encoding included, under the secret key: half the bytes; the peers' is under the public key."""
    compare(
        f"ckks/encrypt symmetric/{scene.name}",
        lambda: scene.secret.encrypt(scene.x),
        items=1,
        check=scene.near(scene.x),
        peers=scene.peers("encrypt"),
        unit="encryptions",
        extra=EXTRA | scene.lists("list_in"),
    )


def test_decrypt(compare: Any, scene: Scene) -> None:
    def check(ours: Any, peers: Any) -> None:
        assert np.abs(ours - scene.x).max() < 1e-4

    compare(
        f"ckks/decrypt/{scene.name}",
        lambda: scene.secret.decrypt(scene.cx),
        items=1,
        check=check,
        peers=scene.peers("decrypt"),
        unit="decryptions",
        extra=EXTRA | scene.lists("list_out"),
    )


def test_add(compare: Any, scene: Scene) -> None:
    compare(
        f"ckks/add/{scene.name}",
        lambda: scene.cx + scene.cy,
        items=1,
        check=scene.near(scene.x + scene.y),
        peers=scene.peers("add"),
        unit="additions",
        extra=EXTRA,
    )


def test_multiply_plain(compare: Any, scene: Scene) -> None:
    """By an encoded vector; not rescaled, at no side."""
    plain = scene.public.encode(scene.y)
    compare(
        f"ckks/multiply plain/{scene.name}",
        lambda: scene.cx.multiply(plain, rescale=False),
        items=1,
        check=scene.near(scene.x * scene.y),
        peers=scene.peers("multiply_plain"),
        unit="products",
        extra=EXTRA,
    )


def test_multiply(compare: Any, scene: Scene) -> None:
    """Relinearised and rescaled."""
    compare(
        f"ckks/multiply/{scene.name}",
        lambda: scene.cx * scene.cy,
        items=1,
        check=scene.near(scene.x * scene.y),
        peers=scene.peers("multiply"),
        unit="products",
        extra=EXTRA,
    )


def test_rotate(compare: Any, scene: Scene) -> None:
    compare(
        f"ckks/rotate/{scene.name}",
        lambda: scene.cx.rotate(1),
        items=1,
        check=scene.near(np.roll(scene.x, -1)),
        peers=scene.peers("rotate"),
        unit="rotations",
        extra=EXTRA,
    )


@pytest.mark.parametrize(("clients", "floats"), [(100, 1_000_000)])
def test_federated_sum(compare: Any, size: Any, clients: int, floats: int) -> None:
    """Vectors encrypted, added and decrypted: ours under AGGREGATE, TenSEAL's under its usual {60,40,40,60}."""
    clients, floats = size(5, clients), size(40_000, floats)
    secret = ckks.SecretKey.generate(ckks.AGGREGATE)
    public = secret.public_key()
    data = RNG.uniform(-1, 1, (clients, floats))
    tenseal = PeerProcess.where_installed("tenseal", "seal_ops.py", "13", "60,40,40,60")

    def ours() -> np.ndarray:
        total = public.encrypt(data[0], packed=True, magnitude=1)
        for row in data[1:]:
            total = total + public.encrypt(row, packed=True, magnitude=1)
        return secret.decrypt(total)

    said: dict[str, Any] = dict(EXTRA)

    def check(found: np.ndarray, peers: Any) -> None:
        error = ckks.compare(found, data.sum(0))
        assert error.most < -10
        said["log2_error"] = {"least": error.least, "average": error.average, "most": error.most}
        if tenseal:
            said["tenseal_log2_error_most"] = math.log2(tenseal.peer("federated_error")().per_second)

    said |= {
        "bytes_per_float": len(public.encrypt(data[0], packed=True, magnitude=1).to_bytes()) / floats,
        "bytes_per_float_symmetric": len(secret.encrypt(data[0], packed=True, magnitude=1).to_bytes())
        / floats,
    }
    peers = {"TenSEAL": tenseal.peer(f"federated {clients} {floats}")} if tenseal else {}
    if tenseal:
        said["tenseal_bytes_per_float"] = 1 / tenseal.peer("floats_per_byte")().per_second
    compare(
        f"ckks/federated sum of {clients} x {floats}",
        ours,
        items=clients * floats,
        check=check,
        peers=peers,
        unit="floats",
        rounds=1,
        extra=said,
    )
    if tenseal:
        tenseal.close()
