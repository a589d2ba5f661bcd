# SPDX-License-Identifier: Apache-2.0
"""Ciphertext arithmetic that waits, so that programs which work on one number at a time still fill the kernels.

Every operation of python-paillier on ciphertexts is c = product of x_i^w_i times (1 + n t) mod n^2, with operands x_i,
integer weights w_i and a plaintext t. An operation only notes its operands, weights and t in a `Node`. The first
question for a ciphertext (`value_of`) settles all that is noted, in batches: the powers together, the inverses by one
inversion, the products together. Results are the very integers that the operations would have given one by one.

A node that no number holds any more and that only one other uses is not computed: `total = total + x` in a loop
becomes one product. Notes are bounded (`MAX_PENDING`), and of a node whose number is gone nothing is computed for its
own sake. Variable-time in weights and plaintexts, which are Python integers; ciphertexts are public.
"""

from __future__ import annotations

import operator
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from crypsis import bigint
from crypsis.compat.phe import _batches
from crypsis.compat.phe._recent import Recent
from crypsis.compat.phe.util import gmpy2

MAX_PENDING = 2048
"""Notes after which they are settled: a block of operands that still fits the cache, enough for every lane."""
MIN_TERMS = 4
"""Fewer terms are done one by one: a call of a kernel costs as much as some products."""
WAITING: Any = object()
"""The value of a node that is not computed; None is a value that a user may have given."""

Term = tuple["Node", int]


class Node:
    """A ciphertext: its `value`, or how to get it. An int of any size (as a user gave it), or little-endian bytes."""

    __slots__ = (
        "checked",
        "error",
        "flat",
        "handle",
        "level",
        "plain",
        "terms",
        "total",
        "uses",
        "value",
        "wide",
    )

    def __init__(
        self,
        value: Any,
        terms: tuple[Term, ...] = (),
        plain: int = 0,
        handle: Callable[[], Any] | None = None,
    ) -> None:
        self.value = value
        self.terms = terms
        self.plain = plain
        self.handle = handle
        self.error: Exception | None = None
        self.checked = handle is not None or type(value) in (bytes, int)  # that the value is an integer
        self.wide: Any = None
        self.uses = 0  # notes that have this node as an operand

    # Set while settling: the terms and `plain`, those of nodes inside included, and the level of `_plan`.
    flat: list[Term]
    total: int
    level: int

    @property
    def pending(self) -> bool:
        return self.value is WAITING and self.error is None


class Arithmetic:
    """Products and powers modulo n^2, shared by all keys of one n (`arithmetic_of`). Thread-safe, survives a fork."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.n_square = n * n
        bits = self.n_square.bit_length()
        self._width = -(-bits // 64) * 8
        self._square: Any = self.n_square if gmpy2 is None else gmpy2.mpz(self.n_square)
        self.usable = n % 2 == 1 and bigint.MIN_BITS <= bits <= bigint.MAX_BITS
        """Whether the kernels reach this modulus; where not, all is done one by one."""
        self._modulus: bigint.Modulus | None = None
        self._pending: list[Node] = []
        self._lock = threading.Lock()
        self.recent: Recent | None = None
        """The numbers in the order of their making, once there is a private key that could want to know."""

    @property
    def modulus(self) -> bigint.Modulus:
        """n^2, made at the first use: it takes milliseconds. ValueError where the kernels do not reach it."""
        if self._modulus is None:
            self._modulus = bigint.Modulus(self.n_square)
        return self._modulus

    def note(self, terms: tuple[Term, ...], plain: int, handle: Any) -> Node:
        """The product of terms (node, weight) and 1 + n * plain, for the number `handle`: computed later.

        TypeError where an operand is no integer.
        """
        node = Node(WAITING, terms, plain, weakref.ref(handle))
        for operand, _ in terms:
            if operand.checked is False:
                operator.index(operand.value)
                operand.checked = True
        with self._lock:
            for operand, _ in terms:
                operand.uses += 1
            self._pending.append(node)
            if len(self._pending) >= MAX_PENDING:
                self._settle()
        return node

    def value_of(self, node: Node) -> Any:
        """The ciphertext, as given or as an int in [0, n^2). ZeroDivisionError where an inverse does not exist."""
        if node.value is WAITING:
            if node.error is None:
                with self._lock:
                    self._settle()
            if node.error is not None:
                raise node.error
        value = node.value
        return int.from_bytes(value, "little") if type(value) is bytes else value

    def settle(self) -> None:
        """Compute all that is noted."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        nodes, self._pending = self._pending, []
        try:
            # The program looks at each result, which has two terms at most: no planning.
            if len(nodes) == 1:
                self._compute_one(nodes[0], nodes[0].terms, nodes[0].plain)
                return
            for level in _plan(nodes):
                self._compute(level)
        except BaseException:  # an interrupt, or no memory: what is not done stays noted
            self._pending = [node for node in nodes if node.pending]
            raise

    def _compute(self, jobs: list[Node]) -> None:
        """Values of nodes whose `flat` terms have values."""
        ready = []
        for job in jobs:
            for operand, _ in job.flat:
                if operand.error is not None:
                    _finish(job, WAITING, operand.error)
                    break
            else:
                ready.append(job)
        few = len(ready) < MIN_TERMS and sum(len(job.flat) for job in ready) < MIN_TERMS
        if few or not self.usable:
            for job in ready:
                self._compute_one(job, job.flat, job.total)
            return
        try:
            values = _batches.products_of_powers([(job.flat, job.total) for job in ready], self)
        except ZeroDivisionError:  # one of the inverses does not exist: find out whose
            for job in ready:
                self._compute_one(job, job.flat, job.total)
            return
        for job, value in zip(ready, values, strict=True):
            _finish(job, value, None)

    def _compute_one(self, job: Node, terms: Sequence[Term], plain: int) -> None:
        square = self._square
        result = (1 + self.n * plain) % square if plain else None
        try:
            for operand, weight in terms:
                if operand.error is not None:
                    _finish(job, WAITING, operand.error)
                    return
                base = operand.wide
                if base is None:
                    base = self._wide(operand)
                if weight != 1:
                    base = pow(base, weight, square)
                result = base if result is None else result * base % square
        except (ZeroDivisionError, ValueError):
            error = ZeroDivisionError("a ciphertext has no inverse: it is damaged, or of another key")
            _finish(job, WAITING, error)
            return
        job.wide = wide = 1 if result is None else result
        _finish(job, int(wide), None)

    def _wide(self, node: Node) -> Any:
        """The reduced ciphertext of a node with a value in GMP's form, kept in the node; an int without gmpy2."""
        value = self._as_int(node)
        node.wide = value if gmpy2 is None else gmpy2.mpz(value)
        return node.wide

    def multiply(self, a: int, b: int) -> int:
        """a * b mod n^2, one product."""
        return a * b % self.n_square if gmpy2 is None else int(gmpy2.mpz(a) * b % self._square)

    def _as_int(self, node: Node) -> int:
        value = node.value
        if type(value) is bytes:
            return int.from_bytes(value, "little")
        reduced = int(value)
        return reduced if 0 <= reduced < self.n_square else reduced % self.n_square

    def as_bytes(self, node: Node) -> bytes:
        """The reduced ciphertext of a node with a value as 8 * limbs bytes, kept in the node."""
        if type(node.value) is bytes:
            return node.value
        reduced = self._as_int(node)
        data = reduced.to_bytes(self._width, "little")
        if reduced == node.value:  # what is not reduced stays as its user gave it
            node.value = data
        return data

    def remember_numbers(self) -> None:
        """Begin to keep `recent`."""
        if self.recent is None:
            self.recent = Recent()

    def after_fork(self) -> None:
        """In the child: another thread may have held a lock."""
        self._lock = threading.Lock()
        if self.recent is not None:
            self.recent.after_fork()


def _plan(nodes: list[Node]) -> list[list[Node]]:
    """Jobs by level: operands of a level's jobs have values when the levels before are computed.

    Nodes come in the order in which they were made, so operands come first. A node stays inside the one that uses it
    if nobody holds its number (asked before `uses`, which cannot grow once the number is gone).
    """
    levels: list[list[Node]] = []

    def compute(node: Node) -> None:
        while len(levels) <= node.level:
            levels.append([])
        levels[node.level].append(node)

    inside: set[Node] = set()
    for node in nodes:
        held = node.handle is not None and node.handle() is not None
        if not held and node.uses == 0:
            continue
        flat: list[Term] = []
        total, level = node.plain, 0
        for operand, weight in node.terms:
            if not operand.pending:
                flat.append((operand, weight))
                continue
            terms = operand.flat if operand in inside else []
            if operand in inside and weight == 1:
                inside.discard(operand)
                if len(terms) > len(flat):
                    terms.extend(flat)
                    flat = terms
                else:
                    flat.extend(terms)
                total += operand.total
                level = max(level, operand.level)
            elif operand in inside and len(terms) == 1 and operand.total == 0:
                inside.discard(operand)
                flat.append((terms[0][0], terms[0][1] * weight))
                level = max(level, operand.level)
            else:
                if operand in inside:  # a power of a sum: the sum first
                    inside.discard(operand)
                    compute(operand)
                flat.append((operand, weight))
                level = max(level, operand.level + 1)
        node.flat, node.total, node.level = flat, total, level
        if held or node.uses > 1:
            compute(node)
        else:
            inside.add(node)
    return levels


def _finish(node: Node, value: int | bytes, error: Exception | None) -> None:
    node.value, node.error = value, error
    node.terms, node.flat, node.handle = (), [], None


_shared: weakref.WeakValueDictionary[int, Arithmetic] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def arithmetic_of(n: int) -> Arithmetic:
    """The arithmetic of the keys with this n: one for all, so that their numbers are settled together."""
    with _shared_lock:
        found = _shared.get(n)
        if found is None:
            found = _shared[n] = Arithmetic(n)
        return found


def _after_fork() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()
    for each in list(_shared.values()):
        each.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
