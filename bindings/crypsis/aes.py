# SPDX-License-Identifier: Apache-2.0
"""AES-128 in batches: the fixed-key hashes of OT and garbling, counter mode, GGM tree levels, random bytes.

A block is 16 bytes; a batch of them is a C-contiguous `uint8[n, 16]` NumPy array, n may be 0. A key is 16 bytes:
`bytes` or `uint8[16]`. Everything is constant-time in keys and blocks, not in counters, on every backend: the
portable one has no tables (`tests/test_aes_constant_time.py`). Every backend returns the same bytes.

The hashes are proven in the model where AES under a key that everybody knows is an ideal random permutation
[GKWY20]; which property each has, and so where it may be used, is in its docstring. Their advantage grows with
(hashed blocks) x (the attacker's AES evaluations) / 2^128, counted over all uses of one fixed key: a protocol that
derives `key` from its session id, as both parties can, keeps the sessions apart.

Options that the batch functions share:

    out       array for the result, of its shape; it may be the input array itself where the result has its shape,
              and must not overlap an input otherwise. Untouched when an error is raised.
    backend   a name from `crypsis.backends.runnable("aes")`; default: `CRYPSIS_BACKEND`, else the best
    threads   default: `CRYPSIS_NUM_THREADS`, else the CPUs this process may use

On a GPU (`crypsis.cuda`) arrays are CuPy's, with the same bytes; so is `out`, a key may be one (it is copied to the
host), and `backend` and `threads` do not count. `expand_key` and `Generator` are the host's.

Errors: `TypeError` for what is not such an array, `ValueError` for a wrong shape or value,
`crypsis.errors.BackendUnavailable` for a backend this CPU cannot run, or a function without a CUDA kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core
from crypsis._generator import Generator
from crypsis.cuda._dispatch import follow_data

__all__ = [
    "BLOCK_BYTES",
    "HASH_KEY",
    "LEFT_KEY",
    "RIGHT_KEY",
    "Generator",
    "ctr_stream",
    "ctr_xor",
    "expand_key",
    "ggm_level",
    "measure_rounds",
    "mmo",
    "permute",
    "tmmo",
]

Bytes = npt.NDArray[np.uint8]

BLOCK_BYTES = 16
"""Bytes of a block, of a key and of a counter."""

HASH_KEY, LEFT_KEY, RIGHT_KEY = _core.aes.FIXED_KEYS
"""The public keys of the fixed permutations: the first 384 bits of pi's fraction, 128 each."""

_HASH_KEY_ARRAY: Bytes = np.frombuffer(HASH_KEY, np.uint8)
_ROUND_KEYS = 11
_MAX_BLOCKS = 2**48
_MAX_COUNTER = 2**128 - 1


@follow_data("aes")
def expand_key(
    keys: bytes | Bytes, *, out: Bytes | None = None, backend: str | None = None, threads: int | None = None
) -> Bytes:
    """The round keys [FIPS 197, 5.2] of each key.

    keys: 16 bytes or `uint8[16]`, or `uint8[n, 16]`. Returns `uint8[11, 16]` or `uint8[n, 11, 16]`, as secret as the
    keys; `out` must not overlap them. The other functions expand their key themselves.
    """
    array = _key("keys", keys) if isinstance(keys, bytes) else _blocks("keys", keys, single=True)
    result = _out(out, (*array.shape[:-1], _ROUND_KEYS, BLOCK_BYTES))
    _core.aes.expand_keys(array.reshape(-1, BLOCK_BYTES), result, *_options(backend, threads))
    return result


@follow_data("aes")
def permute(
    blocks: Bytes,
    *,
    key: bytes | Bytes = HASH_KEY,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """AES-128 encryption of each block [FIPS 197, 5.1] under `key`: with a public key, the fixed permutation pi.

    blocks: `uint8[n, 16]`. Returns `uint8[n, 16]`. A permutation that everybody can invert hides nothing: to hash,
    use `mmo` or `tmmo`.
    """
    return _map(_core.aes.permute, blocks, key, out, backend, threads)


@follow_data("aes")
def mmo(
    blocks: Bytes,
    *,
    key: bytes | Bytes = HASH_KEY,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """pi(x) ^ x of each block (Matyas, Meyer and Oseas): correlation-robust [GKWY20].

    That is: for a secret R of full entropy, the hashes of x ^ R look random for distinct x. It is *not* circular
    (do not add R to its output, as garbling does) and has no tweak (equal inputs give equal hashes). So it may turn
    correlated OTs into random ones where the protocol makes the inputs random and distinct, which holds for
    semi-honest OT extension and for the output of silent OT, and expand the seeds of a GGM tree; where a malicious
    peer can influence the inputs, use `tmmo`. One AES a block.

    blocks: `uint8[n, 16]`. Returns `uint8[n, 16]`.
    """
    return _map(_core.aes.mmo, blocks, key, out, backend, threads)


@follow_data("aes")
def tmmo(
    blocks: Bytes,
    tweak: int,
    *,
    key: bytes | Bytes = HASH_KEY,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """pi(pi(x) ^ t) ^ pi(x) of each block, t = tweak + its index: tweakable, circular correlation-robust [GKWY20].

    That is: for a secret R of full entropy, H(x ^ R, t) ^ b R looks random for any x, bits b and tweaks, as long as
    no (x, t) is asked with both b. This is the hash for malicious OT extension and for garbling; every tweak is used
    once in a session, and session ids and counters go into it (or into `key`). Two AES a block.

    blocks: `uint8[n, 16]`. tweak: of block 0, 0 to 2^128 - 1; block i takes tweak + i mod 2^128, as a little-endian
    128-bit integer. Returns `uint8[n, 16]`.
    """
    first = _counter("tweak", tweak)

    def run(key: Bytes, *rest: Any) -> None:
        _core.aes.tmmo(key, first, *rest)

    return _map(run, blocks, key, out, backend, threads)


@follow_data("aes")
def ctr_stream(
    key: bytes | Bytes,
    n_blocks: int,
    *,
    counter: int = 0,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """The key stream of counter mode [SP 800-38A, 6.5]: AES of counter, counter + 1 and so on, mod 2^128.

    key: secret for a pseudorandom generator, public for expanding what both parties agreed on. counter: where in the
    stream to start, 0 to 2^128 - 1, a big-endian integer in the block. Returns `uint8[n_blocks, 16]`. No two blocks of
    one key are equal, which tells n of them from random bytes with probability n^2 / 2^129. `out` must not overlap
    the key.
    """
    n_blocks = _arguments.integer("n_blocks", n_blocks, 0, _MAX_BLOCKS)
    key = _key("key", key)
    first = _counter("counter", counter)
    result = _out(out, (n_blocks, BLOCK_BYTES))
    _core.aes.ctr(key, first, None, result, *_options(backend, threads))
    return result


@follow_data("aes")
def ctr_xor(
    key: bytes | Bytes,
    data: Bytes,
    *,
    counter: int = 0,
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """Counter-mode encryption, which is decryption: `data` plus the key stream of `ctr_stream`, byte for byte.

    data: a `uint8` array of any shape, its size any number of bytes. Returns its shape. Never encrypt two messages
    under the same key and counters; nothing here notices a changed ciphertext.
    """
    data = _arguments.array("data", data)
    if not data.flags.c_contiguous:
        raise ValueError("data is not C-contiguous: pass numpy.ascontiguousarray(data)")
    key = _key("key", key)
    first = _counter("counter", counter)
    result = _out(out, data.shape)
    _core.aes.ctr(key, first, data, result, *_options(backend, threads))
    return result


@follow_data("aes")
def ggm_level(
    parents: Bytes,
    *,
    keys: tuple[bytes | Bytes, bytes | Bytes] = (LEFT_KEY, RIGHT_KEY),
    out: Bytes | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Bytes:
    """One level of a GGM tree: child 2 i is L(p) ^ p and child 2 i + 1 is R(p) ^ p of parent p = parents[i].

    L and R are AES under two fixed keys: a length-doubling generator from two `mmo` hashes, as Ferret [YWL+20] takes
    it from [GKWY20]. For ideal permutations its output is random to whoever does not know p: who evaluates them Q
    times finds one of N nodes with probability about N Q / 2^127.

    parents: `uint8[n, 16]`. keys: two that differ. Returns `uint8[2 n, 16]`; `out` must not overlap `parents`.
    """
    parents = _blocks("parents", parents)
    if not isinstance(keys, tuple) or len(keys) != 2:
        raise TypeError(f"keys is {_arguments.kind(keys)}: give a tuple of two keys")
    both = np.stack([_key("keys[0]", keys[0]), _key("keys[1]", keys[1])])
    if both[0].tobytes() == both[1].tobytes():
        raise ValueError(
            "keys are equal: both children of a parent would be the same; give two different ones"
        )
    result = _out(out, (2 * len(parents), BLOCK_BYTES))
    _core.aes.ggm_level(both, parents, result, *_options(backend, threads))
    return result


def measure_rounds(repeats: int, *, backend: str | None = None) -> int:
    """For benchmarks: encrypts blocks that stay in registers `repeats` times over, and does nothing else; returns how
    many blocks that were."""
    repeats = _arguments.integer("repeats", repeats, 1, 1 << 32)
    return _core.aes.measure_rounds(_arguments.backend(backend), repeats)


def _map(run: Any, blocks: Any, key: Any, out: Any, backend: Any, threads: Any) -> Bytes:
    blocks = _blocks("blocks", blocks)
    key = _key("key", key)
    result = _out(out, blocks.shape)
    run(key, blocks, result, *_options(backend, threads))
    return result


def _options(backend: Any, threads: Any) -> tuple[str, int]:
    return _arguments.backend(backend), _arguments.threads(threads)


def _blocks(name: str, value: Any, *, single: bool = False) -> Bytes:
    array: Bytes = _arguments.array(name, value)
    if array.ndim not in ((1, 2) if single else (2,)) or array.shape[-1] != BLOCK_BYTES:
        raise ValueError(
            f"{name} has shape {array.shape}: give uint8[n, 16]{' or uint8[16]' if single else ''}"
        )
    if not array.flags.c_contiguous:
        raise ValueError(f"{name} is not C-contiguous: pass numpy.ascontiguousarray({name})")
    return array


def _key(name: str, value: Any) -> Bytes:
    array: Bytes = (
        np.frombuffer(value, np.uint8) if isinstance(value, bytes) else _arguments.array(name, value)
    )
    if array.shape != (BLOCK_BYTES,):
        raise ValueError(f"{name} has shape {array.shape}: AES-128 takes 16 bytes or uint8[16]")
    return np.ascontiguousarray(array)


def _counter(name: str, value: Any) -> bytes:
    return _arguments.integer(name, value, 0, _MAX_COUNTER).to_bytes(BLOCK_BYTES, "big")


def _out(out: Bytes | None, shape: tuple[int, ...]) -> Bytes:
    """The result array; the bindings check that it does not overlap an input."""
    return np.empty(shape, np.uint8) if out is None else _arguments.output(out, shape)
