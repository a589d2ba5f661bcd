# SPDX-License-Identifier: Apache-2.0
"""The numbers of one key that a program holds, in the order of their making: which is decrypted after which."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypsis.compat.phe.paillier import EncryptedNumber

FIRST_LIMIT = 4096


class Recent:
    """Weak references, so that nothing lives longer for being here. Thread-safe."""

    def __init__(self) -> None:
        self._numbers: list[weakref.ref[EncryptedNumber]] = []
        self._limit = FIRST_LIMIT
        self._lock = threading.Lock()

    def add(self, number: EncryptedNumber) -> None:
        """Note a number that was just made."""
        numbers = self._numbers
        # Between these lines another thread may append: `after` then finds another number there, and gives up.
        number._place = len(numbers)
        numbers.append(weakref.ref(number))
        if number._place >= self._limit:
            with self._lock:
                self._forget_the_dead()

    def after(self, number: EncryptedNumber) -> Iterator[EncryptedNumber]:
        """The numbers made after this one that are still held; none where this one is not noted."""
        numbers, place = self._numbers, number._place
        if not 0 <= place < len(numbers) or numbers[place]() is not number:
            return
        for reference in islice(numbers, place + 1, None):
            found = reference()
            if found is not None:
                yield found

    def _forget_the_dead(self) -> None:
        """Half of the list is new since the last time: the cost of a number stays constant."""
        if len(self._numbers) <= self._limit:
            return  # another thread was first
        held = [(reference, number) for reference in self._numbers if (number := reference()) is not None]
        for place, (_, number) in enumerate(held):
            number._place = place
        self._numbers = [reference for reference, _ in held]
        self._limit = max(FIRST_LIMIT, 2 * len(held))

    def after_fork(self) -> None:
        """In the child: another thread may have held the lock."""
        self._lock = threading.Lock()
