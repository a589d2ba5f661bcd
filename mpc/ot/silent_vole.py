# SPDX-License-Identifier: Apache-2.0
"""Silent VOLE over GF(2^128), or GF(2^64), from dual LPN: S has Delta and v_i, R has u_i and w_i = v_i + Delta u_i.

u_i is pseudorandom in all of GF(2^128) (X^128 + X^7 + X^2 + X + 1, bit j of the little-endian block is X^j), as
VOLE-PSI [RS21, RR22] needs it. A round makes n = 2^log_outputs of them from noise of weight t in N = 2n places:

    S, R       from `base` (correlated OTs with the same Delta): the first round's t VOLEs gamma, delta = gamma + beta
               Delta, each the sum of X^i times 128 correlated OTs, whose choice bits are beta [Gil99]; later rounds
               keep t of their outputs for the next. For every round the trees' OTs, and 128 for the check
    S -> R     TREES   t punctured trees: v, and w = v + e Delta with e_alpha = beta in one place a tree   (`_noise`)
    R <> S     malicious: CHALLENGE, ANSWER
    S, R       v, w and e through the public code: n outputs each         [BCG+19, section 5; WYKW21, Fig. 7; RRT23]

The code is expand-convolute [RRT23] in its plain, not systematic form: N = 2n places are convoluted (24 random taps,
and a fixed one that multiplies by X), and each output is the sum of `weight` of the N. Without the X it would be a code
over bits, and u would give the noise away: 128 noise values span what 128 bits of u can span, and elimination finds
their places [MK90]. Two convolutions run one after the other, each wrapping round: with one only, a sparse row whose
places all lie near the end stays short (csrc/vole/LPN_NOTES.md). The code is drawn by AES in counter mode, under a key
that is the hash of the session and the round.

field=64, semi-honest only: u_i is in GF(2^64) (X^64 + X^4 + X^3 + X + 1); v_i, w_i and Delta are pairs of such elements
in 16 bytes, w = v + u Delta in both halves. beta is in GF(2^64), from 64 correlated OTs; the trees are the same, and
the fixed tap of the code multiplies by X of GF(2^64), in both halves. Dual LPN over GF(2^64) hides u:

    - Tests by parity checks: over a large field a place of noise that is hit makes the result random, so a check of
      relative weight d tells with (1 - d)^t. Elimination finds checks of d = 1/2 at rate 1/2: 2^-128 for t = 128. The
      rows of the code itself are dense: 25 places on, X adds a degree, and few of N places are zero (a test counts).
    - The attack on codes over bits interleaves the bits of u, and needs as many of them as errors. Seen over bits, a
      noise value with its multiples by X^j is 64 errors, 8192 in all, against 64 bits of u; over GF(2^64) u is a single
      word. A test takes the rank of u over bits, which is full with a few noise values.
    - Delta keeps its 128 bits. But the check of the trees, made in GF(2^64), would miss a lie with t 2^(3 d) / 2^64 =
      2^-27 at d = 10: malicious parties get field=128 only.

Assumes    dual LPN for that code with regular noise: t = 128 for pseudo-distance 0.25 and 128 bits
           (128 / -log2(1 - 2 * 0.25)), any n [RRT23]. weight 7 is the paper's fast choice, 21 the conservative one.
           AES as an ideal cipher, SHA-256 as a random oracle. Semi-honest or malicious as `base` is; the check as for
           `ferret`.
Leaks      the number of items, in whole rounds.
Bytes      t (32 d + 16) + 32 a round of n - t VOLEs, d = log_outputs - 6: 0.66 a VOLE at 2^16, 0.05 at 2^20; malicious
           96 more a round. `base` adds d t + 128 correlated OTs a round (d t semi-honest), and 128 t once (64 t for
           field=64). `session_bytes` and `base_ots` are exact.
Rounds     as for `ferret`: none after `base` when semi-honest, one a round when malicious.
Cost       of a VOLE, all three vectors: 12 steps of the convolution, 3 * weight random reads in 32 n bytes, 8 AES
           blocks for the trees, 8 for the code at weight 7. With field=64 the vector of u has half the bytes.
LAN, WAN   log_outputs 16, whose vectors stay in a second-level cache; 20 on lines below some 100 Mbit/s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from crypsis import vole
from crypsis.mpc.ot._noise import (
    CHECK_OTS,
    Wire,
    aligned_empty,
    check_security,
    pack_elements,
    pack_pairs,
    receive_noise,
    round_bytes,
    send_noise,
)
from crypsis.mpc.ot.correlation import (
    BLOCK_BYTES,
    MALICIOUS,
    SEMI_HONEST,
    Bytes,
    CotReceiver,
    CotSender,
    CotSource,
    check_items,
    check_session,
)
from crypsis.mpc.place import HOST, Place
from crypsis.mpc.transport import Channel

ASSUMES = (
    "dual LPN for expand-convolute codes, regular noise; AES as an ideal cipher, SHA-256 as a random oracle"
)

N_TREES = 128
FIELDS = (128, 64)
FAST_WEIGHT, CONSERVATIVE_WEIGHT = 7, 21
ROUNDS_A_REFILL = 16
"""Rounds whose correlated OTs are taken from `base` at a time."""

_VERSION = b"crypsis/ot/silent_vole/v1"


@dataclass(frozen=True)
class DualParameters:
    """2^log_outputs VOLEs a round, 16 to 20, and the expander's weight, 7 or 21 [RRT23]."""

    log_outputs: int = 16
    weight: int = FAST_WEIGHT
    n_trees: int = field(default=N_TREES, repr=False)
    secure: bool = field(default=True, repr=False)

    def __post_init__(self) -> None:
        if not self.secure:
            return
        if not 16 <= self.log_outputs <= 20:
            raise ValueError(f"log_outputs is {self.log_outputs}: use 16 to 20")
        if self.weight not in (FAST_WEIGHT, CONSERVATIVE_WEIGHT):
            raise ValueError(f"weight is {self.weight}: use {FAST_WEIGHT} or {CONSERVATIVE_WEIGHT}")
        if self.n_trees != N_TREES:
            raise ValueError(f"n_trees is {self.n_trees}: the noise's weight is {N_TREES} for 128 bits")

    @property
    def depth(self) -> int:
        """Levels of a tree: the trees' leaves are twice the outputs."""
        return self.log_outputs + 2 - self.n_trees.bit_length()

    def n_base(self, security: str) -> int:
        """Correlated OTs that each round takes."""
        return self.n_trees * self.depth + CHECK_OTS * (security == MALICIOUS)


def insecure_parameters(log_outputs: int, weight: int, n_trees: int) -> DualParameters:
    """Any sizes, for tests: no security at all is claimed. n_trees: a power of two below 2^log_outputs."""
    if not 5 <= log_outputs <= 20 or n_trees < 1 or n_trees & (n_trees - 1) or n_trees >= 1 << log_outputs:
        raise ValueError(f"log_outputs is {log_outputs} and n_trees {n_trees}: out of range")
    return DualParameters(log_outputs, weight, n_trees, secure=False)


def usable_outputs(parameters: DualParameters) -> int:
    """VOLEs that a round hands out; the others make the next round's noise."""
    return (1 << parameters.log_outputs) - parameters.n_trees


def session_bytes(n_items: int, parameters: DualParameters, security: str) -> tuple[int, int]:
    """Bytes that (sender, receiver) send for the first call of `blocks`, without those of `base`: exact."""
    rounds = -(-n_items // usable_outputs(parameters))
    sender, receiver = round_bytes(
        parameters.n_trees, parameters.depth, correlated=False, checked=security == MALICIOUS
    )
    return rounds * sender, rounds * receiver


def base_ots(n_items: int, parameters: DualParameters, security: str, *, field: int = 128) -> int:
    """Correlated OTs that the first call of `blocks` takes from `base`: exact."""
    rounds = -(-n_items // usable_outputs(parameters))
    refills = -(-rounds // ROUNDS_A_REFILL)
    return field * parameters.n_trees + refills * ROUNDS_A_REFILL * parameters.n_base(security)


def check_field(field: int, security: str) -> int:
    """128, or 64 where parties are semi-honest; ValueError."""
    if field not in FIELDS or not isinstance(field, int):
        raise ValueError(f"field is {field!r}: use 128 or 64")
    if field == 64 and security != SEMI_HONEST:
        raise ValueError(
            f"field is 64 and security {security!r}: use field=128, or security={SEMI_HONEST!r}, as the check of the "
            "trees fails with 2^-64 only in that field"
        )
    return field


class _SilentVole(CotSource):
    """What both parties do alike."""

    def __init__(
        self,
        channel: Channel,
        base: CotSource,
        session: bytes,
        parameters: DualParameters,
        field: int,
        security: str | None,
        stream: int,
        threads: int | None,
        place: Place,
    ) -> None:
        session = check_session(session)
        if not isinstance(parameters, DualParameters):
            raise TypeError(f"parameters is {type(parameters).__name__}: give DualParameters()")
        self.security = check_security(security, base.security)
        self.field = check_field(field, self.security)
        self.parameters = parameters
        row = (parameters.log_outputs, parameters.weight, parameters.n_trees)
        text = b"%s %d %d %d %s " % (_VERSION, *row, self.security.encode())
        if field != 128:
            text += b"field %d " % field
        self.session = hashlib.sha256(text + base.session + session).digest()
        self.place = place
        checked = self.security == MALICIOUS
        self._wire = Wire(channel, stream, self.session, checked=checked, threads=threads, place=place)
        self._n_base = parameters.n_base(self.security)
        self._n_tree_ots = parameters.n_trees * parameters.depth
        self._pool = np.empty((ROUNDS_A_REFILL * self._n_base, BLOCK_BYTES), np.uint8)
        self._pooled = 0
        self._left = 0

    def _memory(self, *widths: int) -> tuple[list[Bytes], list[Bytes]]:
        """Vectors of N elements and of n, of so many bytes an element."""
        n, at = 1 << self.parameters.log_outputs, 0
        n_bytes = 3 * n * sum(widths)
        self._raw = aligned_empty(n_bytes) if self.place is HOST else self.place.empty(n_bytes)
        pieces = []
        for rows in (2 * n, n):
            for width in widths:
                pieces.append(self._raw[at : at + rows * width].reshape(rows, width))
                at += rows * width
        return pieces[: len(widths)], pieces[len(widths) :]

    def _encode(self, noise: list[Bytes], outputs: list[Bytes]) -> None:
        number = self._wire.n_rounds.to_bytes(8, "little")
        seed = hashlib.sha256(b"crypsis/ot/silent_vole/code/v1" + self.session + number).digest()
        vole.expand_convolute(
            self.place.from_host(np.frombuffer(seed, np.uint8)[:BLOCK_BYTES]),
            noise[0],
            outputs[0],
            weight=self.parameters.weight,
            field=self.field,
            second=None if len(noise) == 1 else (noise[1], outputs[1]),
            threads=self._wire.threads,
        )

    def _pack(self, blocks: Bytes) -> Bytes:
        """Elements, or pairs of them, of as many correlated OTs each as an element has bits."""
        return pack_elements(blocks) if self.field == 128 else pack_pairs(blocks)

    def _next_ots(self) -> slice:
        """Where in the pool this round's correlated OTs are; the caller has filled it."""
        begin = len(self._pool) - self._pooled
        self._pooled -= self._n_base
        return slice(begin, begin + self._n_base)

    def _take(self, n: int) -> slice:
        begin = (1 << self.parameters.log_outputs) - self._left
        self._left -= n
        return slice(begin, begin + n)

    def _wipe(self) -> None:
        self.place.wipe(self._raw)
        self._pool.fill(0)


class SilentVoleSender(_SilentVole):
    """The side with Delta, which is that of `base`.

    channel, stream: where the rounds run. base: a `CotSender` whose peer is the base of the other party; nothing else
    may use it meanwhile. session: 1 to 255 bytes, the same at both parties and new each time. security: by default the
    base's. field: 128, or 64 with security="semi-honest" (the module says what that is). place: where the VOLEs are
    made and stay; on a GPU, call `blocks` inside a stage of it. Nothing is sent before the first `blocks`. Raises
    ValueError, TypeError.
    """

    def __init__(
        self,
        channel: Channel,
        base: CotSender,
        *,
        session: bytes,
        parameters: DualParameters | None = None,
        field: int = 128,
        security: str | None = None,
        stream: int = 0,
        threads: int | None = None,
        place: Place = HOST,
    ) -> None:
        parameters = DualParameters() if parameters is None else parameters
        super().__init__(channel, base, session, parameters, field, security, stream, threads, place)
        self._base = base
        self.delta = base.delta.copy()
        (self._noise,), (self._v,) = self._memory(BLOCK_BYTES)
        self._gamma: Bytes | None = None

    def blocks(self, n_items: int) -> Iterator[Bytes]:
        """The next n_items >= 1 VOLEs in pieces of at most a round: v, uint8[m, 16].

        Each array is a view of memory that the next step overwrites. The peer must ask for as many items at the same
        time; the iterator must be taken to its end. Raises ValueError, DeadSource, ChannelError, ProtocolAbort.
        """
        n_items = check_items(n_items)
        self._check_alive()
        return self._run(n_items)

    def _run(self, n_items: int) -> Iterator[Bytes]:
        with self._use():
            while n_items:
                if not self._left:
                    self._round()
                n = min(n_items, self._left)
                yield self._v[self._take(n)]
                self.check_open()
                n_items -= n

    def _round(self) -> None:
        n_trees = self.parameters.n_trees
        if self._gamma is None:
            self._gamma = self._pack(_collect(self._base.blocks(self.field * n_trees)))
        else:
            self.place.secret_into(self._gamma, self._v[:n_trees])
        if not self._pooled:
            self._pool[:] = _collect(self._base.blocks(len(self._pool)))
            self._pooled = len(self._pool)
        q = self._pool[self._next_ots()]
        send_noise(
            self._wire,
            self.delta,
            q[: self._n_tree_ots],
            self._gamma,
            q[self._n_tree_ots :],
            self.parameters.depth,
            self._noise,
        )
        self._encode([self._noise], [self._v])
        self._left = usable_outputs(self.parameters)

    def _wipe(self) -> None:
        super()._wipe()
        self.delta.fill(0)
        if self._gamma is not None:
            self._gamma.fill(0)


class SilentVoleReceiver(_SilentVole):
    """The side with u and w. The arguments are those of `SilentVoleSender`, and `base` is a `CotReceiver`."""

    def __init__(
        self,
        channel: Channel,
        base: CotReceiver,
        *,
        session: bytes,
        parameters: DualParameters | None = None,
        field: int = 128,
        security: str | None = None,
        stream: int = 0,
        threads: int | None = None,
        place: Place = HOST,
    ) -> None:
        parameters = DualParameters() if parameters is None else parameters
        super().__init__(channel, base, session, parameters, field, security, stream, threads, place)
        self._base = base
        (self._noise, self._e), (self._w, self._u) = self._memory(BLOCK_BYTES, self.field // 8)
        self._pool_bits = np.empty(len(self._pool), np.uint8)
        self._known: tuple[Bytes, Bytes] | None = None

    def blocks(self, n_items: int) -> Iterator[tuple[Bytes, Bytes]]:
        """The next n_items >= 1 VOLEs in pieces: (u, w), uint8[m, field / 8] and uint8[m, 16]; as at the sender."""
        n_items = check_items(n_items)
        self._check_alive()
        return self._run(n_items)

    def _run(self, n_items: int) -> Iterator[tuple[Bytes, Bytes]]:
        with self._use():
            while n_items:
                if not self._left:
                    self._round()
                n = min(n_items, self._left)
                part = self._take(n)
                yield self._u[part], self._w[part]
                self.check_open()
                n_items -= n

    def _round(self) -> None:
        n_trees = self.parameters.n_trees
        if self._known is None:
            bits, t = _collect_chosen(self._base.blocks(self.field * n_trees))
            self._known = np.packbits(bits, bitorder="little").reshape(n_trees, -1), self._pack(t)
        else:
            self.place.secret_into(self._known[0], self._u[:n_trees])
            self.place.secret_into(self._known[1], self._w[:n_trees])
        if not self._pooled:
            self._pool_bits[:], self._pool[:] = _collect_chosen(self._base.blocks(len(self._pool)))
            self._pooled = len(self._pool)
        part = self._next_ots()
        bits, t = self._pool_bits[part], self._pool[part]
        n = self._n_tree_ots
        places = receive_noise(
            self._wire,
            bits[:n],
            t[:n],
            self._known,
            (np.packbits(bits[n:], bitorder="little"), t[n:]),
            self.parameters.depth,
            self._noise,
        )
        where = self.place.secret_from_host(places)
        values = self.place.secret_from_host(self._known[0])
        vole.place_noise(where, values, self.parameters.depth, self._e, threads=self._wire.threads)
        self.place.forget(where, values)
        self._encode([self._noise, self._e], [self._w, self._u])
        self._left = usable_outputs(self.parameters)

    def _wipe(self) -> None:
        super()._wipe()
        self._pool_bits.fill(0)
        for array in self._known or ():
            array.fill(0)


def _collect(pieces: Iterator[Bytes]) -> Bytes:
    return np.concatenate([piece.copy() for piece in pieces])


def _collect_chosen(pieces: Iterator[tuple[Bytes, Bytes]]) -> tuple[Bytes, Bytes]:
    """(bits in bytes, t)."""
    bits, blocks = [], []
    for packed, t in pieces:
        bits.append(np.unpackbits(packed, count=len(t), bitorder="little"))
        blocks.append(t.copy())
    return np.concatenate(bits), np.concatenate(blocks)
