# SPDX-License-Identifier: Apache-2.0
"""kernels/aes on the shim device against the CPU and published answers; on a GPU where there is one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from crypsis import aes
from cuda_on_cpu.device import ShimDevice

VECTORS = json.loads((Path(__file__).parent / "vectors" / "aes.json").read_text())


def of_hex(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text), np.uint8)


# Known answers


def test_published_ciphertexts(shim_device: ShimDevice) -> None:
    for case in VECTORS["encrypt"]:
        rows = shim_device.from_host(of_hex(case["plaintext"]).reshape(-1, 16))
        found = aes.permute(rows, key=bytes.fromhex(case["key"])).get()
        assert found.tobytes().hex() == case["ciphertext"]


def test_published_counter_mode(shim_device: ShimDevice) -> None:
    for case in VECTORS["ctr"]:
        key, counter = bytes.fromhex(case["key"]), int(case["counter"], 16)
        data = of_hex(case["plaintext"])
        found = aes.ctr_xor(key, shim_device.from_host(data), counter=counter).get()
        assert found.tobytes().hex() == case["ciphertext"]
        stream = shim_device.empty((len(data) // 16, 16), np.uint8)
        assert aes.ctr_stream(key, len(data) // 16, counter=counter, out=stream) is stream
        assert (stream.get().reshape(-1) ^ data).tobytes().hex() == case["ciphertext"]
