# SPDX-License-Identifier: Apache-2.0
"""Blinding factors made ahead of time by a background thread: an encryption then costs a few products."""

from __future__ import annotations

import os
import threading
from collections import deque
from types import TracebackType
from typing import Protocol

from crypsis import bigint
from crypsis._homomorphic import devices, limbs
from crypsis._homomorphic.limbs import Limbs
from crypsis._homomorphic.wiping import wipe
from crypsis.cuda._device import Device

BLOCK = 256
"""Factors made at a time: some tens of milliseconds of work, enough for every lane and thread."""
DEVICE_BLOCK = 1 << 14
"""The same of a GPU."""


class BlindingSource(Protocol):
    """A public key, or a private key, which is faster."""

    @property
    def modulus(self) -> bigint.Modulus: ...
    @property
    def digest(self) -> bytes: ...
    def blinding_factors(self, count: int, *, device: Device | None = None) -> Limbs: ...


class BlindingPool:
    """A bounded store of blinding factors for one key, filled by a background thread. Thread-safe.

    key: a `PublicKey` or `PrivateKey` of `crypsis.paillier` or `crypsis.okamoto_uchiyama`; the pool serves both of
    the pair. capacity: the most factors to hold; each takes 8 * limbs bytes (512 for a Paillier key of 2048 bits).
    device: where the factors are made and kept, "cpu" or a GPU, "cuda:0" say; they serve ciphertexts that are there.
    Each factor is handed out once and wiped here. Use it with `with`, or call `close`, which ends the thread and
    wipes what is left. A pool does not survive a fork: both processes would use the same factors, so the child's
    refuses.
    """

    def __init__(self, key: BlindingSource, capacity: int = 4096, *, device: str = "cpu") -> None:
        if not isinstance(capacity, int) or capacity < 1:
            raise ValueError(f"capacity is {capacity!r}: give a positive number of factors")
        self._key = key
        self._device = devices.named(device)
        self._capacity = capacity
        self._blocks: deque[Limbs] = deque()
        self._ready = 0
        self._closed = False
        self._failure: BaseException | None = None
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._fill, name="crypsis-blinding", daemon=True)
        self._thread.start()

    @property
    def device(self) -> str:
        """Where the factors are, as ciphertexts tell it: "cpu", "cuda:0"."""
        return devices.name_of(self._device)

    @property
    def modulus(self) -> bigint.Modulus:
        """The ciphertext modulus that the factors are for."""
        return self._key.modulus

    @property
    def digest(self) -> bytes:
        """Names the key that the factors are for."""
        return self._key.digest

    @property
    def ready(self) -> int:
        """Factors that can be taken without waiting."""
        if os.getpid() != self._process:
            return 0
        with self._changed:
            return self._ready

    def take(self, count: int) -> Limbs:
        """`uint64[count, limbs]` in Montgomery form, the caller's own: what is ready, the rest made now."""
        self._refuse_fork()
        with devices.at(self._device):
            return self._take(count)

    def _take(self, count: int) -> Limbs:
        taken: list[Limbs] = []
        used_up: list[Limbs] = []  # not given back to the device before they are wiped
        missing = count
        try:
            with self._changed:
                if self._closed:
                    raise ValueError("this pool of blinding factors is closed: make a new one")
                if self._failure is not None:
                    raise RuntimeError("the pool's background thread failed") from self._failure
                self._changed.notify_all()
                while missing and self._blocks:
                    block = self._blocks[-1]
                    used = block[max(0, len(block) - missing) :]
                    taken.append(used.copy())  # a device's memory may run out: so far the block is as it was
                    wipe(used)
                    missing -= len(used)
                    self._ready -= len(used)
                    if len(used) == len(block):
                        used_up.append(self._blocks.pop())
                    else:
                        self._blocks[-1] = block[: len(block) - len(used)]
        finally:
            self._finish()
        if missing:
            taken.append(self._make(missing))
        if len(taken) == 1:
            return taken[0]
        result = limbs.concatenate(taken) if taken else devices.empty((0, self.modulus.limbs), self._device)
        wipe(*taken)
        return result

    def _make(self, count: int) -> Limbs:
        if self._device is None:
            return self._key.blinding_factors(count)
        return self._key.blinding_factors(count, device=self._device)

    def _finish(self) -> None:
        """Waits for a device: blocks go from one thread to another, whose streams need not be the same."""
        if self._device is not None:
            self._device.synchronize()

    def wait(self, count: int | None = None, timeout: float | None = None) -> bool:
        """Wait until `count` factors (default: a full pool) are ready; False when `timeout` seconds passed first."""
        self._refuse_fork()
        wanted = self._capacity if count is None else min(count, self._capacity)
        with self._changed:
            self._changed.wait_for(
                lambda: self._ready >= wanted or self._closed or self._failure is not None, timeout
            )
            return self._ready >= wanted

    def _refuse_fork(self) -> None:
        if os.getpid() != self._process:
            raise RuntimeError("this pool of blinding factors came through a fork: make a pool in the child")

    def close(self) -> None:
        """End the thread and wipe what is left. Closing twice is harmless."""
        if os.getpid() != self._process:
            return  # the thread and its lock stayed in the parent
        with self._changed:
            self._closed = True
            with devices.at(self._device):
                wipe(*self._blocks)
                self._finish()
            self._blocks.clear()
            self._ready = 0
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> BlindingPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"BlindingPool(ready={self.ready}, capacity={self._capacity})"

    def _fill(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._ready < self._capacity)
                if self._closed:
                    return
                most = BLOCK if self._device is None else DEVICE_BLOCK
                count = min(most, self._capacity - self._ready)
            row_bytes = 8 * self.modulus.limbs
            try:
                with devices.at(self._device):
                    devices.in_blocks(count, self._device, row_bytes, self._store, what="blinding factors")
            except BaseException as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return

    def _store(self, part: slice) -> None:
        block = self._make(part.stop - part.start)
        self._finish()
        with self._changed:
            if self._closed:
                with devices.at(self._device):
                    wipe(block)
            else:
                self._blocks.append(block)
                self._ready += len(block)
                self._changed.notify_all()
