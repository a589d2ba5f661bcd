# SPDX-License-Identifier: Apache-2.0
"""Ferret [YWL+20]: correlated OTs from the primal LPN assumption with regular noise, a fraction of a byte each.

A round turns M = k + t d (+ 128 if malicious) correlated OTs into n = t 2^d. S has Delta, R the choices:

    S, R       the first M correlations from `base`, any source of them (SoftSpokenOT with its base OTs)
    S -> R     TREES   t punctured trees of depth d, from t d of the correlations: R's noise e, one place a tree, and
                       v, w with w = v + e Delta                                                          (`_noise`)
    R <> S     malicious: CHALLENGE, ANSWER, from the last 128 of them
    S          q_i = v_i + the sum of 10 of the remaining k correlations' q, at the places of row i of a public matrix
    R          t_i = w_i + the sum of the same t's; its choice is e_i + the sum of their choices

[YWL+20, Fig. 7 and section 4.2], with the trees of [GYWZXLZ23]. M of a round's outputs are the next round's
correlations, so base OTs happen once a session (`iterated=False` takes all M from `base` in every round). The matrix is
drawn by AES in counter mode, under a key that is the hash of the session and the round: public, and chosen by nobody.

The choice is the lowest bit of t. For that Delta is odd, and the lowest bits of all q are zero: t = q + c Delta then
carries c there, sums keep it so, and the k bits of the LPN secret need no array of their own. It costs one bit: of
Delta and of each q, 127 are unknown to R. `base` must be made with an odd Delta (`odd_delta`).

Assumes    LPN with k, n, t of `parameters`, regular noise and ten ones a row: 128 bits against the published
           estimator's attacks for the rows below. AES as an ideal cipher, SHA-256 as a random oracle. Security is that
           of `base`, semi-honest or malicious; the check catches a cheating sender but for 2^-77, and a guess about the
           noise that comes true (one bit on average [YWL+20, section 3.2]).
Leaks      the number of items, in whole rounds.
Bits an OT 128 t d / (n - M): 1.37, 0.75, 0.40, 0.21 for B10, B11, B12, B13; given choices 1 more. `session_bytes` is
           exact.
Rounds     none after `base` when semi-honest (S only sends); one a round when malicious. Given choices: none more.
Cost       an OT and party: 10 random reads of 16 bytes in a table of 16 k bytes, 1.25 AES blocks for their places (2.5
           where k > 2^16), 1 for the trees; malicious, one product in GF(2^128).
LAN, WAN   B10, whose table stays in a second-level cache, unless the line is slower than some 100 Mbit/s: then B12.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from crypsis import vole
from crypsis.mpc.ot._noise import (
    CHECK_OTS,
    Wire,
    aligned_empty,
    check_security,
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
    check_choices,
    check_items,
    check_session,
)
from crypsis.mpc.transport import Channel

ASSUMES = (
    "primal LPN with regular noise; AES as an ideal cipher, SHA-256 as a random oracle; the base correlations"
)

_VERSION = b"crypsis/ot/ferret/v1"


@dataclass(frozen=True)
class FerretParameters:
    """t trees of 2^depth places each, and a table of 2^log_table correlations; only `ROWS` may be made."""

    n_trees: int
    log_table: int
    depth: int
    secure: bool = field(default=True, repr=False)

    def __post_init__(self) -> None:
        row = (self.n_trees, self.log_table, self.depth)
        if self.secure and row not in _SECURE:
            raise ValueError(
                f"(n_trees, log_table, depth) is {row}: use one of {_SECURE}, whose security is known"
            )

    @property
    def n_outputs(self) -> int:
        """n: correlations of a round."""
        return self.n_trees << self.depth

    def n_base(self, security: str) -> int:
        """M: correlations that a round needs."""
        return (1 << self.log_table) + self.n_trees * self.depth + CHECK_OTS * (security == MALICIOUS)


_SECURE = ((850, 16, 10), (1170, 17, 11), (1520, 18, 12), (1900, 19, 13))
B10, B11, B12, B13 = ROWS = tuple(FerretParameters(*row) for row in _SECURE)
"""Noise weights as emp-ot sets them since May 2026, from the published LPN estimator: 128 bits, where the hybrid attack
binds. The rows of [YWL+20, Table 2] are superseded."""


def insecure_parameters(n_trees: int, log_table: int, depth: int) -> FerretParameters:
    """Any sizes, for tests: no security at all is claimed."""
    for name, value, low in (("n_trees", n_trees, 1), ("log_table", log_table, 0), ("depth", depth, 3)):
        if not low <= value <= (1 << 16 if name == "n_trees" else 20):
            raise ValueError(f"{name} is {value}: out of range")
    made = FerretParameters(n_trees, log_table, depth, secure=False)
    if made.n_outputs < made.n_base(MALICIOUS) + 8:
        raise ValueError(
            f"{made} makes {made.n_outputs} correlations from {made.n_base(MALICIOUS)}: none is left over"
        )
    return made


def odd_delta() -> bytes:
    """A random Delta for the base correlations: 127 random bits and a one."""
    delta = bytearray(secrets.token_bytes(BLOCK_BYTES))
    delta[0] |= 1
    return bytes(delta)


def usable_outputs(parameters: FerretParameters, security: str, *, iterated: bool = True) -> int:
    """Correlations that a round hands out."""
    kept = parameters.n_base(security) if iterated else 0
    return (parameters.n_outputs - kept) // 8 * 8


def session_bytes(
    n_items: int, parameters: FerretParameters, security: str, *, iterated: bool = True, chosen: bool = False
) -> tuple[int, int]:
    """Bytes that (sender, receiver) send for the first call of `blocks`, without those of `base`: exact."""
    rounds = -(-n_items // usable_outputs(parameters, security, iterated=iterated))
    sender, receiver = round_bytes(
        parameters.n_trees, parameters.depth, correlated=True, checked=security == MALICIOUS
    )
    return rounds * sender, rounds * receiver + chosen * -(-n_items // 8)


class _Ferret(CotSource):
    """What both parties do alike: memory and rounds."""

    def __init__(
        self,
        channel: Channel,
        base: CotSource,
        session: bytes,
        parameters: FerretParameters,
        iterated: bool,
        security: str | None,
        stream: int,
        threads: int | None,
    ) -> None:
        session = check_session(session)
        if not isinstance(parameters, FerretParameters):
            raise TypeError(f"parameters is {type(parameters).__name__}: give one of ferret.ROWS")
        self.security = check_security(security, base.security)
        self.parameters, self.iterated = parameters, bool(iterated)
        row = (parameters.n_trees, parameters.log_table, parameters.depth, int(iterated))
        text = b"%s %d %d %d iterated=%d %s " % (_VERSION, *row, self.security.encode())
        self.session = hashlib.sha256(text + base.session + session).digest()
        self._wire = Wire(channel, stream, self.session, checked=self.security == MALICIOUS, threads=threads)
        self._n_base = parameters.n_base(self.security)
        self._usable = usable_outputs(parameters, self.security, iterated=iterated)
        # One piece of memory for everything, the table on pages of its own: random reads then miss no address cache.
        k, n = 1 << parameters.log_table, parameters.n_outputs
        self._memory = aligned_empty((self._n_base + n) * BLOCK_BYTES).reshape(-1, BLOCK_BYTES)
        self._base_blocks, self._outputs = self._memory[: self._n_base], self._memory[self._n_base :]
        self._table = self._base_blocks[:k]
        self._tree_blocks = self._base_blocks[k : k + parameters.n_trees * parameters.depth]
        self._check_blocks = self._base_blocks[k + parameters.n_trees * parameters.depth :]
        self._bits: Bytes | None = None
        self._left = 0
        self._started = False

    def _ready(self) -> bool:
        """Whether the base correlations of the next round are in place; those of the last round, if they are kept."""
        if not (self.iterated and self._started):
            self._started = True
            return False
        self._base_blocks[:] = self._outputs[: self._n_base]
        return True

    def _encode(self) -> None:
        number = self._wire.n_rounds.to_bytes(8, "little")
        seed = hashlib.sha256(b"crypsis/ot/ferret/matrix/v1" + self.session + number).digest()[:BLOCK_BYTES]
        vole.primal_encode(
            np.frombuffer(seed, np.uint8),
            self._table,
            self._outputs,
            bits=self._bits,
            threads=self._wire.threads,
        )
        self._left = self._usable

    def _take(self, n: int) -> slice:
        """The next n outputs that were not handed out; pieces begin at multiples of eight."""
        begin = len(self._outputs) - self._left
        self._left -= min(self._left, (n + 7) // 8 * 8)
        return slice(begin, begin + n)

    def _wipe(self) -> None:
        self._memory.fill(0)
        if self._bits is not None:
            self._bits.fill(0)


class FerretSender(_Ferret, CotSender):
    """The side with Delta, which is that of `base` and must be odd; the lowest bit of every q is zero.

    channel, stream: where the rounds run. base: where the first correlations come from, a `CotSender` whose peer is the
    base of the other party; nothing else may use it meanwhile. session: 1 to 255 bytes, the same at both parties and
    new each time. security: SEMI_HONEST or MALICIOUS, by default the base's. Nothing is sent before the first `blocks`.
    """

    def __init__(
        self,
        channel: Channel,
        base: CotSender,
        *,
        session: bytes,
        parameters: FerretParameters = B10,
        iterated: bool = True,
        security: str | None = None,
        stream: int = 0,
        threads: int | None = None,
    ) -> None:
        if not int(base.delta[0]) & 1:
            raise ValueError("the base has an even Delta: make it with delta=ferret.odd_delta()")
        super().__init__(channel, base, session, parameters, iterated, security, stream, threads)
        self._base = base
        self.delta = base.delta.copy()

    def blocks(self, n_items: int, *, chosen: bool = False) -> Iterator[Bytes]:
        """As `CotSender.blocks`: pieces of at most a round."""
        n_items = check_items(n_items)
        self._check_alive()
        return self._run(n_items, chosen)

    def _run(self, n_items: int, chosen: bool) -> Iterator[Bytes]:
        with self._use():
            while n_items:
                if not self._left:
                    self._round()
                n = min(n_items, self._left)
                q = self._outputs[self._take(n)]
                if chosen:
                    packed = self._wire.receive("the choices", (n + 7) // 8)
                    flips = np.unpackbits(packed, count=n, bitorder="little")
                    q ^= (0 - flips)[:, None] & self.delta
                yield q
                self.check_open()
                n_items -= n

    def _round(self) -> None:
        if not self._ready():
            filled = 0
            for q in self._base.blocks(self._n_base):
                self._base_blocks[filled : filled + len(q)] = q
                filled += len(q)
            self._base_blocks[:, 0] &= 0xFE
        send_noise(
            self._wire,
            self.delta,
            self._tree_blocks,
            None,
            self._check_blocks,
            self.parameters.depth,
            self._outputs,
        )
        self._encode()

    def _wipe(self) -> None:
        super()._wipe()
        self.delta.fill(0)


class FerretReceiver(_Ferret, CotReceiver):
    """The side with the choices; the lowest bit of every t is its choice, unless choices are given.

    The arguments are those of `FerretSender`, and `base` is a `CotReceiver`.
    """

    def __init__(
        self,
        channel: Channel,
        base: CotReceiver,
        *,
        session: bytes,
        parameters: FerretParameters = B10,
        iterated: bool = True,
        security: str | None = None,
        stream: int = 0,
        threads: int | None = None,
    ) -> None:
        super().__init__(channel, base, session, parameters, iterated, security, stream, threads)
        self._base = base
        self._low_bits = self._bits = np.empty((parameters.n_outputs + 7) // 8, np.uint8)

    def blocks(self, n_items: int, choices: Bytes | None = None) -> Iterator[tuple[Bytes, Bytes]]:
        """As `CotReceiver.blocks`: pieces of at most a round."""
        n_items = check_items(n_items)
        if choices is not None:
            choices = check_choices(choices, n_items)
        self._check_alive()
        return self._run(n_items, choices)

    def _run(self, n_items: int, choices: Bytes | None) -> Iterator[tuple[Bytes, Bytes]]:
        with self._use():
            done = 0
            while done < n_items:
                if not self._left:
                    self._round()
                n = min(n_items - done, self._left)
                part = self._take(n)
                t, bits = self._outputs[part], self._low_bits[part.start // 8 : (part.stop + 7) // 8]
                if n % 8:
                    bits[-1] &= (1 << n % 8) - 1
                if choices is not None:
                    own = choices[done // 8 : done // 8 + len(bits)].copy()
                    if n % 8:
                        own[-1] &= (1 << n % 8) - 1
                    self._wire.send(bits ^ own)
                    bits = own
                yield bits, t
                self.check_open()
                done += n

    def _round(self) -> None:
        if not self._ready():
            filled = 0
            for bits, t in self._base.blocks(self._n_base):
                piece = self._base_blocks[filled : filled + len(t)]
                piece[:] = t
                piece[:, 0] &= 0xFE
                piece[:, 0] |= np.unpackbits(bits, count=len(t), bitorder="little")
                filled += len(t)
        choices: Bytes = self._base_blocks[len(self._table) :, 0] & np.uint8(1)
        n_tree = len(self._tree_blocks)
        receive_noise(
            self._wire,
            choices[:n_tree],
            self._tree_blocks,
            None,
            (np.packbits(choices[n_tree:], bitorder="little"), self._check_blocks),
            self.parameters.depth,
            self._outputs,
        )
        self._encode()
