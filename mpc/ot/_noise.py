# SPDX-License-Identifier: Apache-2.0
"""Regular noise that two parties share: one punctured tree for each of its places, for `ferret` and `silent_vole`.

The sender has Delta and ends with v_i for every place i; the receiver has the noise e, zero but for one place
alpha_l in each tree l, where it is beta_l, and ends with w_i = v_i + e_i Delta in GF(2^128). For `ferret` beta_l = 1.
Without the check nothing here multiplies: the pairs over GF(2^64) of `silent_vole` pass as blocks.

A tree of depth d takes d correlated OTs, q and t = q + r Delta, whose random bits r name the side away from the path
to alpha: so alpha needs no message. K_(i,s) is the sum of the nodes of side s in level i.

`ferret`: correlated trees [GYWZXLZ23, Fig. 3 and 4], where the nodes of each level add up to Delta:

    S -> R     M_i = K_(i,0) + q_i
    R          K_(i,r) = M_i + t_i, as K_(i,1) = K_(i,0) + Delta; all leaves but one, w_alpha = the sum of the others

VOLE: plain GGM trees, H the tweakable hash of `aes.tmmo`, whose tweak is the session's and counts:

    S -> R     M_(i,s) = K_(i,s) + H(q_i + s Delta)    for s = 0, 1     [YWL+20, Fig. 4, with b = 0]
               c = gamma + the sum of all leaves                        [WYKW21, Fig. 7]
    R          K_(i,r) = M_(i,r) + H(t_i), all leaves but one, w_alpha = c + delta + the sum of the others

where delta_l = gamma_l + beta_l Delta is a VOLE of full field elements that both have before.

The malicious check [YWL+20, Fig. 5; WYKW21, Fig. 7], one for all trees of a round. The sender's message is fixed when
R draws the challenge; a, B, C = B + a Delta come from 128 correlated OTs that serve nothing else, the sum of X^i times
each:

    R -> S     challenge (16 random bytes; chi and rho_l follow from it), x = sum_l rho_l chi^alpha_l beta_l + a
    S -> R     Hash(V + B + x Delta), V = sum_l rho_l sum_i chi^i v_(l,i); R: is it Hash(W + C)?

A sender whose leaves are not those of one tree may guess right for which alpha that does not show: it learns what the
guess says, one bit on average, and is caught otherwise (the leakage that [YWL+20, section 3.2] allows in the LPN
assumption). Two different trees agree in the hash with probability at most 2^d / 2^128 over chi; over all pairs of
places in all trees, t 2^(2 d) 2^(d - 128), which is below 2^-77 for every row of parameters. Lies in several
trees are one joint guess about their places; whatever it says, that it came true is at most one bit on average. A
receiver sends nothing
that could be wrong: whatever x is, Hash tells it nothing but whether a guess of Delta was right.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np
import numpy.typing as npt

from crypsis import aes, bitmatrix, vole
from crypsis.errors import ProtocolAbort
from crypsis.mpc.ot.correlation import BLOCK_BYTES, MALICIOUS, SEMI_HONEST, Bytes
from crypsis.mpc.place import HOST, Place
from crypsis.mpc.transport import Channel

CHECK_OTS = 128
HEADER_BYTES = 32
CHALLENGE_BYTES = 2 * BLOCK_BYTES
HASH_BYTES = 32
_HUGE_PAGE = 2 << 20

# X^i as field elements: how 128 bits, or 128 correlated OTs, become one element, and 64 of them a pair over GF(2^64).
_UNITS: Bytes = bitmatrix.gf128_powers(np.array([2] + [0] * 15, np.uint8), CHECK_OTS)
_UNITS64: Bytes = np.ascontiguousarray(_UNITS[:64, :8])


class Wire:
    """The messages of one session: their lengths are checked, and each round has its own header and tweaks.

    place: where the leaves of VOLE's trees are; those of `ferret`, and all else, are on the host."""

    def __init__(
        self,
        channel: Channel,
        stream: int,
        session: bytes,
        *,
        checked: bool,
        threads: int | None,
        place: Place = HOST,
    ) -> None:
        self.channel, self.stream, self.session = channel, stream, session
        self.checked, self.threads, self.place = checked, threads, place
        self.n_rounds = 0
        self._tweak = (
            int.from_bytes(hashlib.sha256(b"crypsis/ot/noise/tweak/v1" + session).digest()[:8], "big") << 64
        )

    def next_round(self) -> bytes:
        """The header of the next round, unlike any other."""
        self.n_rounds += 1
        number = self.n_rounds.to_bytes(8, "little")
        return hashlib.sha256(b"crypsis/ot/noise/round/v1" + self.session + number).digest()

    def tweaks(self, n: int) -> int:
        """The first of n tweaks of this session that no other call gets."""
        first = self._tweak
        self._tweak += n
        return first

    def send(self, *parts: Bytes | bytes) -> None:
        self.channel.send(
            self.stream, b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts)
        )

    def receive(self, what: str, size: int) -> Bytes:
        message = self.channel.recv(self.stream)
        if len(message) != size:
            raise ProtocolAbort(
                f"{what} has {len(message)} bytes instead of {size}: the parties disagree about the protocol or the "
                "number of items"
            )
        return np.frombuffer(message, np.uint8)


def aligned_empty(n_bytes: int) -> Bytes:
    """uint8[n_bytes] that begins where a huge page may, which NumPy asks for: random reads miss no address then."""
    raw = np.empty(n_bytes + 2 * _HUGE_PAGE, np.uint8)
    start = -raw.ctypes.data % _HUGE_PAGE
    return raw[start : start + n_bytes]


def check_security(security: str | None, base: str) -> str:
    """`security`, by default what the base correlations have; a base that assumes honesty carries nothing else."""
    security = base if security is None else security
    if security not in (SEMI_HONEST, MALICIOUS):
        raise ValueError(f"security is {security!r}: use {SEMI_HONEST!r} or {MALICIOUS!r}")
    if security == MALICIOUS and base != MALICIOUS:
        raise ValueError(
            f"security is {security!r} on a base that is {base!r}: make the base {MALICIOUS!r} too"
        )
    return security


def round_bytes(n_trees: int, depth: int, *, correlated: bool, checked: bool) -> tuple[int, int]:
    """Bytes a round that (sender, receiver) send."""
    trees = HEADER_BYTES + n_trees * (depth if correlated else 2 * depth + 1) * BLOCK_BYTES
    return trees + HASH_BYTES * checked, CHALLENGE_BYTES * checked


def pack_elements(blocks: Bytes) -> Bytes:
    """One field element of each 128 neighbours: sum of X^i blocks[128 j + i]; uint8[128 n, 16] -> uint8[n, 16]."""
    return bitmatrix.gf128_inner_product(blocks.reshape(-1, CHECK_OTS, BLOCK_BYTES), _UNITS)


def pack_pairs(blocks: Bytes) -> Bytes:
    """The same over GF(2^64), in each half of 64 neighbours: uint8[64 n, 16] -> uint8[n, 16]."""
    halves = blocks.reshape(-1, 64, 2, 8).transpose(0, 2, 1, 3).reshape(-1, 64, 8)
    return bitmatrix.gf64_inner_product(halves, _UNITS64).reshape(-1, BLOCK_BYTES)


def send_noise(
    wire: Wire, delta: Bytes, q: Bytes, gamma: Bytes | None, q_check: Bytes, depth: int, leaves: Bytes
) -> None:
    """The sender's side of one round: fills `leaves`, uint8[t * 2^depth, 16].

    q: uint8[t * depth, 16]. gamma: uint8[t, 16], or None for ferret, where Delta is odd and the lowest bits are
    cleared. q_check: uint8[128, 16], or nothing where the round is not checked.
    """
    n_trees = len(q) // depth
    header = wire.next_round()
    seeds = np.frombuffer(bytearray(secrets.token_bytes(n_trees * BLOCK_BYTES)), np.uint8)
    seeds = seeds.reshape(-1, BLOCK_BYTES)
    place = wire.place
    if gamma is None:
        sums = vole.expand_correlated(seeds, delta, depth, leaves, threads=wire.threads)
        sums ^= q.reshape(sums.shape)
        wire.send(header, sums)
    else:
        roots = place.secret_from_host(seeds)
        both = vole.expand_noise(roots, depth, leaves, threads=wire.threads)
        sums, totals = map(place.secret_to_host, both)
        place.forget(roots, *both)
        first = wire.tweaks(len(q))
        for side, key in enumerate((q, q ^ delta)):
            sums[:, :, side] ^= aes.tmmo(key, first, threads=wire.threads).reshape(n_trees, depth, -1)
        totals ^= gamma
        wire.send(header, sums, totals)
    seeds.fill(0)
    if wire.checked:
        message = wire.receive("the challenge", CHALLENGE_BYTES)
        value = _hash_leaves(wire, message[:BLOCK_BYTES], leaves, depth) ^ pack_elements(q_check)[0]
        value ^= bitmatrix.gf128_multiply(message[None, BLOCK_BYTES:].copy(), delta)[0]
        wire.send(_digest(wire, header, message, value))


def receive_noise(
    wire: Wire,
    bits: Bytes,
    t: Bytes,
    noise: tuple[Bytes, Bytes] | None,
    check: tuple[Bytes, Bytes],
    depth: int,
    leaves: Bytes,
) -> npt.NDArray[np.uint64]:
    """The receiver's side: fills `leaves` and returns the places, uint64[t], one a tree, secret.

    bits, t: the correlated OTs, uint8[n * depth] of 0 and 1 and uint8[n * depth, 16]. noise: (beta, delta), each
    uint8[n, 16], or None for ferret. check: (a, its 128 OTs): uint8[16], uint8[128, 16]; nothing where it is not
    checked.
    """
    n_trees, place = len(t) // depth, wire.place
    header = wire.next_round()
    size = round_bytes(n_trees, depth, correlated=noise is None, checked=False)[0]
    message = wire.receive("the trees of a round", size)
    if not secrets.compare_digest(message[:HEADER_BYTES].tobytes(), header):
        raise ProtocolAbort(
            "a round's header is another one: the parties' parameters differ, or a message was replayed"
        )
    path = (1 - bits).reshape(n_trees, depth)
    weights = np.uint64(1) << np.arange(depth, dtype=np.uint64)[::-1]
    places: npt.NDArray[np.uint64] = path.astype(np.uint64) @ weights
    if noise is None:
        known = (message[HEADER_BYTES:].reshape(-1, BLOCK_BYTES) ^ t).reshape(n_trees, depth, BLOCK_BYTES)
        vole.reconstruct_correlated(known, places, depth, leaves, threads=wire.threads)
    else:
        pairs = message[HEADER_BYTES : size - n_trees * BLOCK_BYTES].reshape(-1, 2, BLOCK_BYTES)
        totals = message[size - n_trees * BLOCK_BYTES :].reshape(n_trees, BLOCK_BYTES)
        mask = 0 - bits[:, None]
        known = aes.tmmo(t, wire.tweaks(len(t)), threads=wire.threads)
        known ^= pairs[:, 0] ^ (mask & (pairs[:, 0] ^ pairs[:, 1]))
        known = known.reshape(n_trees, depth, BLOCK_BYTES)
        nodes, where = place.secret_from_host(known), place.secret_from_host(places)
        corrections = place.secret_from_host(totals ^ noise[1])
        vole.reconstruct_noise(nodes, where, corrections, depth, leaves, threads=wire.threads)
        place.forget(nodes, where, corrections)
    known.fill(0)
    if wire.checked:
        a, t_check = check
        challenge = np.frombuffer(secrets.token_bytes(BLOCK_BYTES), np.uint8)
        x = _weigh_places(challenge, path, None if noise is None else noise[0]) ^ a
        sent = np.concatenate([challenge, x])
        wire.send(sent)
        value = _hash_leaves(wire, challenge, leaves, depth) ^ pack_elements(t_check)[0]
        answer = wire.receive("the answer to the challenge", HASH_BYTES).tobytes()
        if not secrets.compare_digest(answer, _digest(wire, header, sent, value)):
            raise ProtocolAbort("the check of a round failed: the peer's trees are not consistent")
    return places


def _weights(challenge: Bytes, n_trees: int) -> tuple[Bytes, Bytes]:
    """(chi, rho)."""
    drawn = aes.ctr_stream(challenge.tobytes(), 1 + n_trees)
    return drawn[0].copy(), drawn[1:]


def _hash_leaves(wire: Wire, challenge: Bytes, leaves: Bytes, depth: int) -> Bytes:
    trees = leaves.reshape(-1, 1 << depth, BLOCK_BYTES)
    chi, rho = _weights(challenge, len(trees))
    powers = bitmatrix.gf128_powers(chi, 1 << depth)
    place = wire.place
    there = bitmatrix.gf128_inner_product(trees, place.from_host(powers), threads=wire.threads)
    rows = place.secret_to_host(there)
    place.forget(there)
    total = bitmatrix.gf128_inner_product(rows, rho)
    rows.fill(0)
    return total


def _weigh_places(challenge: Bytes, path: Bytes, beta: Bytes | None) -> Bytes:
    """sum_l rho_l chi^alpha_l beta_l, without an address or a branch that depends on alpha."""
    n_trees, depth = path.shape
    chi, rho = _weights(challenge, n_trees)
    squares = bitmatrix.gf128_powers(chi, 1 + (1 << depth - 1))[1 << np.arange(depth)[::-1]]
    one = _UNITS[0]
    factors = one ^ ((0 - path[:, :, None]) & (one ^ squares))
    while factors.shape[1] > 1:  # half as many factors a tree in each step
        half, odd = factors.shape[1] // 2, factors[:, factors.shape[1] // 2 * 2 :]
        pairs = factors[:, : 2 * half].reshape(n_trees, half, 2, BLOCK_BYTES)
        left, right = (np.ascontiguousarray(pairs[:, :, i]).reshape(-1, BLOCK_BYTES) for i in (0, 1))
        product = bitmatrix.gf128_multiply(left, right).reshape(n_trees, half, BLOCK_BYTES)
        factors = np.concatenate([product, odd], axis=1)
    total = np.ascontiguousarray(factors[:, 0])
    if beta is not None:
        total = bitmatrix.gf128_multiply(total, beta)
    return bitmatrix.gf128_inner_product(total, rho)


def _digest(wire: Wire, header: bytes, challenge: Bytes, value: Bytes) -> bytes:
    parts = (b"crypsis/ot/noise/check/v1", header, challenge.tobytes(), value.tobytes())
    return hashlib.sha256(b"".join(parts)).digest()
