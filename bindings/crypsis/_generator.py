# SPDX-License-Identifier: Apache-2.0
"""The random generator of all protocols; public as `crypsis.aes.Generator`."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from crypsis import _arguments, _core

Array = npt.NDArray[np.uint8]
_bytes = bytes  # the class has a method of this name

SEED_BYTES: Final = 32
_MAX_BYTES: Final = 2**52


class Generator:
    """Secret random bytes: AES-128 in counter mode with fast key erasure [Ber17], seeded by the operating system.

    `Generator()` is what a protocol takes. The stream comes in segments of 32 KiB; a segment's first two blocks
    replace key and counter before the rest is handed out, and what was handed out is overwritten. So whoever reads
    this process's memory later learns nothing of earlier output. The output is as strong as AES-128: 128 bits.

    Safe to share between threads, one call at a time. After a fork the child's copy starts again from the operating
    system; one from a seed refuses, since it would repeat. No copy and no pickle is made of it. State and buffers are
    wiped when it is freed; what it returns is the caller's to wipe.
    """

    __slots__ = ("__weakref__", "_lock", "_pid", "_seeded", "_stream")

    def __init__(self) -> None:
        self._set(None)

    @classmethod
    def from_seed(cls, seed: _bytes | Array) -> Generator:
        """For tests and for public randomness that parties agreed on: the stream is a function of the seed.

        seed: 32 bytes, key then first counter, or 16, a key with counter 0: `bytes` or `uint8[n]`. The same seed gives
        the same stream on every machine and in every version, however it is cut into calls. Never for secrets: who
        knows the seed knows all.
        """
        array = np.frombuffer(seed, np.uint8) if isinstance(seed, bytes) else _arguments.array("seed", seed)
        if array.ndim != 1 or array.size not in (16, SEED_BYTES):
            raise ValueError(f"seed has shape {array.shape}: give 16 or 32 bytes")
        full = np.zeros(SEED_BYTES, np.uint8)
        full[: array.size] = array
        generator = cls.__new__(cls)
        generator._set(_core.aes.Stream(full))
        full.fill(0)
        return generator

    def bytes(self, n_bytes: int) -> _bytes:
        """`n_bytes` random bytes, 0 to 2^52."""
        buffer = np.empty(_arguments.integer("n_bytes", n_bytes, 0, _MAX_BYTES), np.uint8)
        self._fill(buffer)
        result = buffer.tobytes()
        buffer.fill(0)
        return result

    def blocks(self, n_blocks: int, *, out: Array | None = None) -> Array:
        """Random `uint8[n_blocks, 16]`: keys, seeds, masks; into `out` if given."""
        shape = (_arguments.integer("n_blocks", n_blocks, 0, _MAX_BYTES // 16), 16)
        result = np.empty(shape, np.uint8) if out is None else _arguments.output(out, shape)
        self._fill(result)
        return result

    def bits(self, n_bits: int, *, out: Array | None = None) -> Array:
        """Random `uint8[n_bits]` of 0 and 1: choice bits; into `out` if given.

        They are the next ceil(n_bits / 8) bytes of the stream, least significant bit first.
        """
        shape = (_arguments.integer("n_bits", n_bits, 0, _MAX_BYTES),)
        result = np.empty(shape, np.uint8) if out is None else _arguments.output(out, shape)
        packed = np.empty((shape[0] + 7) // 8, np.uint8)
        self._fill(packed)
        result[:] = np.unpackbits(packed, count=shape[0], bitorder="little")
        packed.fill(0)
        return result

    def fill(self, out: Array) -> None:
        """Random bytes into a writable C-contiguous `uint8` array of any shape."""
        array = _arguments.array("out", out)
        self._fill(_arguments.output(array, array.shape))

    def _set(self, stream: Any) -> None:
        self._seeded = stream is not None
        self._stream = stream
        self._pid = os.getpid()
        self._lock = threading.Lock()
        _live.add(self)

    def _fill(self, out: Array) -> None:
        if self._pid != os.getpid():  # a fork that did not go through os.fork
            self._forked()
        with self._lock:
            if self._stream is None:
                if self._seeded:
                    raise RuntimeError(
                        "this seeded Generator was made before a fork and its stream belongs to the parent process: "
                        "make one in this process"
                    )
                self._stream = _os_stream()
            self._stream.fill(out, "")

    def _forked(self) -> None:
        """In the child: forget the parent's stream, and its lock, which a thread that is no more may hold."""
        self._lock = threading.Lock()
        self._stream = None
        self._pid = os.getpid()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Generator cannot be copied or pickled: the copy would repeat its stream; make a new one"
        )


def _os_stream() -> Any:
    seed = np.empty(SEED_BYTES, np.uint8)
    os.urandom(1)  # waits until the generator is seeded, which the file does not
    # Read into place: an immutable copy, as os.urandom returns, could not be wiped.
    with open("/dev/urandom", "rb", buffering=0) as source:
        if source.readinto(seed.data) != SEED_BYTES:
            raise OSError(
                "/dev/urandom gave fewer bytes than asked for; the system's random generator is broken"
            )
    stream = _core.aes.Stream(seed)
    seed.fill(0)
    return stream


_live: weakref.WeakSet[Generator] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for generator in list(_live):
        generator._forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
