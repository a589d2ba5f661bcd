# SPDX-License-Identifier: Apache-2.0
"""`crypsis.aes` on a device: kernels/aes, a block a thread. Called by way of `crypsis.aes`.

Functions take the device first and then what those of `crypsis.aes` take, and return and raise what those do;
DeviceMemoryError where the result does not fit. Blocks are arrays of the device; a key is 16 bytes, or uint8[16] of the
device too, which is then copied to the host: `expand_key` is the host's. Round keys are taken for secrets: the launch
waits for their copy, and they are overwritten behind it. But not for those of HASH_KEY, the default, whose copy nothing
waits for, nor of `ggm_level`, whose two keys everybody knows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments
from crypsis import aes as host
from crypsis.cuda import _bytes
from crypsis.cuda._device import Device
from crypsis.cuda._tuning import launch_shapes

SLUG = "aes"
_WHAT = "uint8[n, 16]"
_MAX_BLOCKS = 2**48
_MAX_COUNTER = 2**128 - 1

_JOB = np.dtype([("n", "<u8"), ("low", "<u8"), ("high", "<u8")])
_ROUND_KEYS = np.dtype([("w", "<u4", (44,))])


def permute(device: Device, blocks: Any, *, key: Any = host.HASH_KEY, out: Any = None) -> Any:
    """AES-128 encryption of each block."""
    return _map(device, "permute", blocks, key, out)


def mmo(device: Device, blocks: Any, *, key: Any = host.HASH_KEY, out: Any = None) -> Any:
    """pi(x) ^ x of each block."""
    return _map(device, "mmo", blocks, key, out)


def tmmo(device: Device, blocks: Any, tweak: int, *, key: Any = host.HASH_KEY, out: Any = None) -> Any:
    """pi(pi(x) ^ t) ^ pi(x) of each block, t = tweak + its index."""
    first = _arguments.integer("tweak", tweak, 0, _MAX_COUNTER)
    return _map(device, "tmmo", blocks, key, out, first)


def ctr_stream(device: Device, key: Any, n_blocks: int, *, counter: int = 0, out: Any = None) -> Any:
    """The key stream of counter mode."""
    n_blocks = _arguments.integer("n_blocks", n_blocks, 0, _MAX_BLOCKS)
    _check_key(device, "key", key)
    first = _arguments.integer("counter", counter, 0, _MAX_COUNTER)
    result = _bytes.output(device, out, (n_blocks, host.BLOCK_BYTES), apart=_arrays(device, key=key))
    _launch(device, "ctr", result, None, key, 16 * n_blocks, first)
    return result


def ctr_xor(device: Device, key: Any, data: Any, *, counter: int = 0, out: Any = None) -> Any:
    """Counter-mode encryption, which is decryption, of an array of any shape."""
    _bytes.array(device, "data", data)
    _check_key(device, "key", key)
    first = _arguments.integer("counter", counter, 0, _MAX_COUNTER)
    result = _bytes.output(device, out, data.shape, apart=_arrays(device, key=key), same={"data": data})
    _launch(device, "ctr", result, data, key, data.size, first)
    return result


def ggm_level(
    device: Device, parents: Any, *, keys: tuple[Any, Any] = (host.LEFT_KEY, host.RIGHT_KEY), out: Any = None
) -> Any:
    """Children 2 i and 2 i + 1 of each parent."""
    _blocks(device, "parents", parents)
    if not isinstance(keys, tuple) or len(keys) != 2:
        raise TypeError(f"keys is {_arguments.kind(keys)}: give a tuple of two keys")
    for i, key in enumerate(keys):
        _check_key(device, f"keys[{i}]", key)
    both = [_round_keys(device, key) for key in keys]
    if (both[0] == both[1]).all():
        raise ValueError(
            "keys are equal: both children of a parent would be the same; give two different ones"
        )
    n = len(parents)
    apart = {"parents": parents} | _arrays(device, **{"keys[0]": keys[0], "keys[1]": keys[1]})
    result = _bytes.output(device, out, (2 * n, host.BLOCK_BYTES), apart=apart)
    if n:
        sides = [np.array((words,), _ROUND_KEYS)[()] for words in both]
        _run(device, "ggm_level", n, [result, parents, *sides, np.uint64(n)])
    return result


def _map(device: Device, kernel: str, blocks: Any, key: Any, out: Any, first: int = 0) -> Any:
    _blocks(device, "blocks", blocks)
    _check_key(device, "key", key)
    same = {"blocks": blocks}
    result = _bytes.output(device, out, blocks.shape, apart=_arrays(device, key=key), same=same)
    _launch(device, kernel, result, blocks, key, len(blocks), first)
    return result


def _launch(device: Device, kernel: str, out: Any, data: Any, key: Any, n: int, first: int) -> None:
    """`n` counts blocks, bytes where the kernel is `ctr`."""
    if n == 0:
        return
    words = _round_keys(device, key)
    keys = None
    try:
        public = key is host.HASH_KEY  # not ==, which takes a secret key's time
        keys = device.from_host(words) if public else device.from_host_secret(words)
        job = np.array((n, first % 2**64, first >> 64), _JOB)[()]
        n_blocks = -(-n // host.BLOCK_BYTES) if kernel == "ctr" else n
        _run(device, kernel, n_blocks, [out, data, keys, job])
    finally:
        words.fill(0)
        if keys is not None:
            keys.fill(0)


def _run(device: Device, kernel: str, n: int, args: list[Any]) -> None:
    shape = launch_shapes(SLUG)[kernel]
    most = shape["blocks"] * device.n_multiprocessors
    device.launch(SLUG, kernel, grid=min(most, -(-n // shape["block"])), block=shape["block"], args=args)


def _round_keys(device: Device, key: Any) -> npt.NDArray[np.uint32]:
    """The round keys of a key, as secret as it is. Copies of a device's key are overwritten."""
    if not device.owns(key):
        return _words(np.frombuffer(key, np.uint8))
    row = key if key.flags.c_contiguous else device.xp.ascontiguousarray(key)
    copy = None
    try:
        copy = device.to_host_secret(row)
        return _words(copy)
    finally:
        if copy is not None:
            copy.fill(0)
        if row is not key:
            row.fill(0)


def _words(key: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    return host.expand_key(key).reshape(-1).view("<u4")


def _check_key(device: Device, name: str, key: Any) -> None:
    if not isinstance(key, bytes):
        _bytes.array(device, name, key, what="16 bytes, or uint8[16]", strided=True)
    shape = (len(key),) if isinstance(key, bytes) else key.shape
    if shape != (host.BLOCK_BYTES,):
        raise ValueError(f"{name} has shape {shape}: AES-128 takes 16 bytes or uint8[16]")


def _arrays(device: Device, **values: Any) -> dict[str, Any]:
    """Those that are arrays of the device."""
    return {name: value for name, value in values.items() if device.owns(value)}


def _blocks(device: Device, name: str, value: Any) -> None:
    _bytes.array(device, name, value, what=_WHAT)
    if value.ndim != 2 or value.shape[1] != host.BLOCK_BYTES:
        raise ValueError(f"{name} has shape {value.shape}: give {_WHAT}")
