# SPDX-License-Identifier: Apache-2.0
"""Silent VOLE over GF(2^128) from the dual LPN assumption: S has Delta and v_i, R has u_i and w_i = v_i + Delta u_i.

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

Assumes    dual LPN for that code with regular noise: t = 128 for pseudo-distance 0.25 and 128 bits
           (128 / -log2(1 - 2 * 0.25)), any n [RRT23]. weight 7 is the paper's fast choice, 21 the conservative one.
           AES as an ideal cipher, SHA-256 as a random oracle. Semi-honest or malicious as `base` is; the check as for
           `ferret`.
Leaks      the number of items, in whole rounds.
Bytes      t (32 d + 16) + 32 a round of n - t VOLEs, d = log_outputs - 6: 0.66 a VOLE at 2^16, 0.05 at 2^20; malicious
           96 more a round. `base` adds d t + 128 correlated OTs a round, and 128 t once. `session_bytes` is exact.
Rounds     as for `ferret`: none after `base` when semi-honest, one a round when malicious.
Cost       of a VOLE, all three vectors: 12 steps of the convolution, 3 * weight random reads in 32 n bytes, 8 AES
           blocks for the trees, 8 for the code at weight 7.
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
    receive_noise,
    round_bytes,
    send_noise,
)
from crypsis.mpc.ot.correlation import (
    BLOCK_BYTES,
    MALICIOUS,
    Bytes,
    CotReceiver,
    CotSender,
    CotSource,
    check_items,
    check_session,
)
from crypsis.mpc.transport import Channel

ASSUMES = (
    "dual LPN for expand-convolute codes, regular noise; AES as an ideal cipher, SHA-256 as a random oracle"
)

N_TREES = 128
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


def base_ots(n_items: int, parameters: DualParameters, security: str) -> int:
    """Correlated OTs that the first call of `blocks` takes from `base`: exact."""
    rounds = -(-n_items // usable_outputs(parameters))
    refills = -(-rounds // ROUNDS_A_REFILL)
    return CHECK_OTS * parameters.n_trees + refills * ROUNDS_A_REFILL * parameters.n_base(security)


class _SilentVole(CotSource):
    """What both parties do alike."""

    def __init__(
        self,
        channel: Channel,
        base: CotSource,
        session: bytes,
        parameters: DualParameters,
        security: str | None,
        stream: int,
        threads: int | None,
    ) -> None:
        session = check_session(session)
        if not isinstance(parameters, DualParameters):
            raise TypeError(f"parameters is {type(parameters).__name__}: give DualParameters()")
        self.security = check_security(security, base.security)
        self.parameters = parameters
        row = (parameters.log_outputs, parameters.weight, parameters.n_trees)
        text = b"%s %d %d %d %s " % (_VERSION, *row, self.security.encode())
        self.session = hashlib.sha256(text + base.session + session).digest()
        self._wire = Wire(channel, stream, self.session, checked=self.security == MALICIOUS, threads=threads)
        self._n_base = parameters.n_base(self.security)
        self._n_tree_ots = parameters.n_trees * parameters.depth
        self._pool = np.empty((ROUNDS_A_REFILL * self._n_base, BLOCK_BYTES), np.uint8)
        self._pooled = 0
        self._left = 0

    def _memory(self, n_vectors: int) -> tuple[list[Bytes], list[Bytes]]:
        """Vectors of N blocks, and of n."""
        n = 1 << self.parameters.log_outputs
        self._raw = aligned_empty(3 * n_vectors * n * BLOCK_BYTES).reshape(-1, BLOCK_BYTES)
        noise = [self._raw[2 * i * n : 2 * (i + 1) * n] for i in range(n_vectors)]
        outputs = [self._raw[(2 * n_vectors + i) * n :][:n] for i in range(n_vectors)]
        return noise, outputs

    def _encode(self, noise: list[Bytes], outputs: list[Bytes]) -> None:
        number = self._wire.n_rounds.to_bytes(8, "little")
        seed = hashlib.sha256(b"crypsis/ot/silent_vole/code/v1" + self.session + number).digest()
        vole.expand_convolute(
            np.frombuffer(seed, np.uint8)[:BLOCK_BYTES],
            noise[0],
            outputs[0],
            weight=self.parameters.weight,
            second=None if len(noise) == 1 else (noise[1], outputs[1]),
            threads=self._wire.threads,
        )

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
        self._raw.fill(0)
        self._pool.fill(0)


class SilentVoleSender(_SilentVole):
    """The side with Delta, which is that of `base`.

    channel, stream: where the rounds run. base: a `CotSender` whose peer is the base of the other party; nothing else
    may use it meanwhile. session: 1 to 255 bytes, the same at both parties and new each time. security: by default the
    base's. Nothing is sent before the first `blocks`.
    """

    def __init__(
        self,
        channel: Channel,
        base: CotSender,
        *,
        session: bytes,
        parameters: DualParameters | None = None,
        security: str | None = None,
        stream: int = 0,
        threads: int | None = None,
    ) -> None:
        parameters = DualParameters() if parameters is None else parameters
        super().__init__(channel, base, session, parameters, security, stream, threads)
        self._base = base
        self.delta = base.delta.copy()
        (self._noise,), (self._v,) = self._memory(1)
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
            self._gamma = pack_elements(_collect(self._base.blocks(CHECK_OTS * n_trees)))
        else:
            self._gamma[:] = self._v[:n_trees]
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
        security: str | None = None,
        stream: int = 0,
        threads: int | None = None,
    ) -> None:
        parameters = DualParameters() if parameters is None else parameters
        super().__init__(channel, base, session, parameters, security, stream, threads)
        self._base = base
        (self._noise, self._e), (self._w, self._u) = self._memory(2)
        self._pool_bits = np.empty(len(self._pool), np.uint8)
        self._known: tuple[Bytes, Bytes] | None = None

    def blocks(self, n_items: int) -> Iterator[tuple[Bytes, Bytes]]:
        """The next n_items >= 1 VOLEs in pieces: (u, w), both uint8[m, 16]. Otherwise as at the sender."""
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
            bits, t = _collect_chosen(self._base.blocks(CHECK_OTS * n_trees))
            self._known = np.packbits(bits, bitorder="little").reshape(-1, BLOCK_BYTES), pack_elements(t)
        else:
            self._known[0][:] = self._u[:n_trees]
            self._known[1][:] = self._w[:n_trees]
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
        vole.place_noise(places, self._known[0], self.parameters.depth, self._e, threads=self._wire.threads)
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
