# SPDX-License-Identifier: Apache-2.0
"""crypsis.okvs with arrays on the shim device: arguments that it refuses, as the CPU does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crypsis import okvs
from crypsis.cuda import Device
from cuda_on_cpu.device import ShimDevice
from test_okvs import SEED, bins, random_bytes

Array = np.ndarray

CHOSEN = okvs.parameters(100)
GOOD: dict[str, Any] = {
    "keys": random_bytes(1, 5, 16),
    "starts": bins(2, 3),
    "values": random_bytes(2, 5, 16),
    "parameters": CHOSEN,
    "seed": SEED,
}
TOP = 2**64 - 1


def words(*values: int) -> Array:
    return np.array(values, np.uint64)


def call(function: Any, arguments: dict[str, Any], device: Device | None) -> Any:
    given = {
        name: device.from_host(value) if device is not None and isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }
    return function(**given)


@pytest.mark.parametrize(
    "changed",
    [
        {"keys": random_bytes(1, 5, 15)},
        {"keys": random_bytes(1, 5, 4, 4)},
        {"keys": random_bytes(1, 4, 16)},
        {"values": random_bytes(1, 5, 8)},
        {"starts": np.zeros(0, np.uint64)},
        {"starts": np.zeros((2, 2), np.uint64)},
        {"starts": bins(2, 2)},
        {"starts": bins(2, 4)},
        {"starts": bins()},
        {"starts": words(1, 5)},
        {"starts": words(0, 4, 3, 5)},
        {"starts": words(0, TOP, 5)},
        {"starts": words(0, 2, TOP, 0, 5)},
        {"starts": words(0, 5, 3, TOP, 5)},
        {"starts": words(0, 5, TOP)},
        {"parameters": (1, 2)},
        {"parameters": okvs.parameters(2)},
        {"parameters": okvs.parameters(2), "starts": words(0, 1, 0, 3, 5)},
        {"parameters": okvs.parameters(2), "starts": words(0, 3, 2, 5)},
        {"seed": "0" * 16},
        {"seed": b"0" * 15},
        {"fill": random_bytes(1, 1, CHOSEN.columns, 16)},
        {"out": np.zeros((2, 5, 16), np.uint8)},
    ],
)
def test_arguments_are_refused_as_on_the_cpu(shim_device: ShimDevice, changed: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as cpu:
        call(okvs.encode, GOOD | changed, None)
    out = shim_device.xp.full((2, CHOSEN.columns, 16), 9, np.uint8)
    with pytest.raises(type(cpu.value)) as gpu:
        call(okvs.encode, {"out": out} | GOOD | changed, shim_device)
    assert str(gpu.value) == str(cpu.value)
    assert (out.get() == 9).all()
    assert not shim_device.launches


@pytest.mark.parametrize(
    "changed",
    [
        {"starts": bins(2, 2)},
        {"starts": words(0, 4, 3, 5)},
        {"starts": words(0, 6, 5)},
        {"table": np.zeros((1, CHOSEN.columns, 16), np.uint8)},
        {"table": np.zeros((2, CHOSEN.columns + 1, 16), np.uint8)},
        {"table": np.zeros((2, CHOSEN.columns, 8), np.uint8)},
        {"table": np.zeros((2, CHOSEN.columns), np.uint8)},
        {"out": np.zeros((4, 16), np.uint8)},
        {"seed": b""},
    ],
)
def test_decode_refuses_as_on_the_cpu(shim_device: ShimDevice, changed: dict[str, Any]) -> None:
    given = {name: value for name, value in GOOD.items() if name != "values"}
    given["table"] = np.zeros((2, CHOSEN.columns, 16), np.uint8)
    with pytest.raises((ValueError, TypeError)) as cpu:
        call(okvs.decode, given | changed, None)
    with pytest.raises(type(cpu.value)) as gpu:
        call(okvs.decode, given | changed, shim_device)
    assert str(gpu.value) == str(cpu.value)
    assert not shim_device.launches


def test_arrays_of_the_device_alone(shim_device: ShimDevice) -> None:
    keys, starts, values = (shim_device.from_host(GOOD[name]) for name in ("keys", "starts", "values"))
    with pytest.raises(ValueError, match="encode: keys is on cuda:0 and starts on the host"):
        okvs.encode(keys, GOOD["starts"], values, CHOSEN, seed=SEED)
    signed = shim_device.from_host(np.array([0, 2, 5]))
    with pytest.raises(TypeError, match="starts is an array of int64: give an array of uint64 on cuda:0"):
        okvs.encode(keys, signed, values, CHOSEN, seed=SEED)
    with pytest.raises(TypeError, match="starts is int"):
        okvs.encode(keys, 5, values, CHOSEN, seed=SEED)
    with pytest.raises(TypeError, match=r"keys is an array of int8: give uint8\[n, 16\] on cuda:0"):
        okvs.encode(keys.view(np.int8), starts, values, CHOSEN, seed=SEED)
    apart = shim_device.from_host(random_bytes(1, 5, 32))
    with pytest.raises(ValueError, match="values is not C-contiguous"):
        okvs.encode(keys, starts, apart[:, ::2], CHOSEN, seed=SEED)
    for name in ("keys", "values", "fill"):
        memory = shim_device.xp.zeros((2, CHOSEN.columns, 16), np.uint8)
        own = {"keys": keys, "values": values, "fill": None} | {
            name: memory if name == "fill" else memory[0, 3:8]
        }
        with pytest.raises(ValueError, match=f"out overlaps {name}: give memory of its own"):
            okvs.encode(own["keys"], starts, own["values"], CHOSEN, seed=SEED, fill=own["fill"], out=memory)
    words_in_out = memory.reshape(-1)[-24:].view(np.uint64)
    words_in_out[:] = starts
    with pytest.raises(ValueError, match="out overlaps starts"):
        okvs.encode(keys, words_in_out, values, CHOSEN, seed=SEED, out=memory)
    out = memory.reshape(-1)[-80:].reshape(5, 16)
    with pytest.raises(ValueError, match="out overlaps starts"):
        okvs.decode(keys, words_in_out, memory, CHOSEN, seed=SEED, out=out)
    with pytest.raises(ValueError, match="out overlaps table"):
        okvs.decode(keys, starts, memory, CHOSEN, seed=SEED, out=memory[1, :5])


def test_starts_in_steps_of_more_than_a_word(shim_device: ShimDevice) -> None:
    every_other = shim_device.from_host(np.array([0, 7, 2, 7, 5, 7], np.uint64))[::2]
    keys, values = shim_device.from_host(GOOD["keys"]), shim_device.from_host(GOOD["values"])
    table = okvs.encode(keys, every_other, values, CHOSEN, seed=SEED, backend="cuda", threads=2)
    assert np.array_equal(table.get(), okvs.encode(*(GOOD[n] for n in GOOD if n != "seed"), seed=SEED))
