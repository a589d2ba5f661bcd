# SPDX-License-Identifier: Apache-2.0
"""SoftSpokenOT [Roy22]: correlated OTs from 128 base OTs, for k = 1 to 8; k = 1 is IKNP [IKNP03, ALSZ13].

Delta's 128 bits are cut into n = ceil(128 / k) parts of k bits (the last may have fewer). For each there is a GGM
tree of 2^k leaves. R below is the receiver of the OTs, who knows every leaf; S the sender, who knows Delta and every
leaf but the one that its part of Delta names.

Set-up, once a session (base OTs: `base`, S being their receiver):

    S, R                    128 base OTs: R gets keys (k_0, k_1) a level of each tree, S chooses the side away from
                            its path                                          [Roy22, Fig. 13]
    R -> S    SETUP         digest of the parameters; of each level both sums of nodes, under k_0 and k_1
                            malicious: of each tree xor and hash of the leaves' proofs   [Roy22, Fig. 14]

For each chunk of L positions (r_(i,x): L bits of the counter stream of leaf x of tree i):

    R         u_i = xor_x r_(i,x), v_(i,j) = xor of r_(i,x) over x with bit j            [Roy22, Fig. 7]
    R -> S    CHUNK         u_i ^ c for i = 0 .. n-1; with random choices c = u_0 and row 0 is not sent
                            malicious: H(c), H(v_(i,j)) of 16 bytes each                 [Roy22, section 4]
    S         w_(i,j) = v_(i,j) of its own leaves renumbered by Delta_i, ^ Delta_(i,j) (u_i ^ c), = v ^ Delta c
              malicious: checks H(w_(i,j)) = H(v_(i,j)) ^ Delta_(i,j) H(c), before any row comes out

Transposed, the 128 bits v and w of a position are t and q = t ^ c Delta.

Malicious security. The set-up's proofs bind R to leaves that do not depend on S's choice. Of the chunks, R's rows
u_i ^ c must hide the same c in every tree. H is the universal hash of the subspace VOLE's check: a random linear map of
L bits to 128 (`vole.hash_columns`) that ends in 128 positions used for nothing else, which mask what is sent. If two
trees carry different c, their hashes differ for all but 2^-128 of the maps; over all pairs of trees, that is (n^2 / 2)
2^-128 <= 2^-115 a chunk. A tree whose hash differs passes only if R guessed Delta_i, all of it.
The map is drawn after R's leaves and rows are fixed, by Fiat-Shamir: BLAKE3 of each KiB of the rows, and SHA-256 over
its digests, the session, the set-up's proofs and the chunk's counter. (Without the proofs R could fix rows first and
then look for leaves of two trees whose hashes meet, a birthday search.) Chosen over a challenge from S because the
chunks then need no round of their own, however long the line, and R's memory stays that of one chunk. What it costs: R
may try rows offline until a map suits it, so the bound holds per try; 2^75 hashes of whole chunks for 2^-40. The hashes
are modelled as random oracles, AES under the challenge as an ideal cipher.

Leaks     the number of items. Malicious R: selective abort: it may guess bits of Delta, is caught unless the guess is
          right (m bits: all but 2^-m), and then knows them; the 128 - m others keep the correlations as hard to break
          as the guess was. That is part of the functionality, and why Delta must not be reused elsewhere. A malicious S
          can only abort, after which nothing was learnt. What happened is told to the peer by the abort itself.
Bits an OT   random choices n - 1, chosen n; k = 4: 31, 32. Malicious: 128 positions and 2064 bytes more a chunk of
          65,408 OTs. Set-up: 16 KiB or so (`setup_bytes`).
Rounds    1 for the set-up, none for the chunks: R only sends.
Cost      AES blocks an OT: R 2^k n / 128 (k = 4: 4), S (2^k - 1) n / 128.
LAN, WAN  `recommend` says which k: 2 to 4 at 10 Gbit/s, 5 or 6 at 1 Gbit/s, 8 on slower lines, where `ferret` sends
          less still. k = 4 is the default.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

import numpy as np

from crypsis import hashing, vole
from crypsis.errors import ConfigError, ProtocolAbort
from crypsis.mpc.ot import base
from crypsis.mpc.ot.correlation import (
    BLOCK_BYTES,
    MALICIOUS,
    SEMI_HONEST,
    Bytes,
    CotReceiver,
    CotSender,
    CotSource,
    check_choices,
    check_items,
    check_session,
)
from crypsis.mpc.transport import Channel
from crypsis.ristretto255 import random_bytes

ASSUMES = (
    "semi-honest or malicious parties; base OTs; AES as a pseudorandom function (the trees and the check: as an "
    "ideal cipher), BLAKE3 and SHA-256 as random oracles"
)
DELTA_BITS = 128
CHUNK_BLOCKS = 512
"""128 positions each: 65,536 positions, 1 MiB of rows, are sent and checked at a time."""
PIECE_BLOCKS = 256
"""Of a chunk so much is handed out at a time: what a caller makes of it then stays in the cache."""

_PROOF_BYTES = 32
_CHECK_BYTES = (DELTA_BITS + 1) * BLOCK_BYTES
_HASH_ROW = 1024
_VERSION = b"crypsis/ot/softspoken/v1"


class _SoftSpoken(CotSource):
    """What both parties do alike: parameters, memory, lengths."""

    _field: vole.SmallField
    _bound: bytes = b""
    """The set-up's proofs: they fix every leaf, and so what the rows of a chunk mean."""

    def __init__(
        self, channel: Channel, session: bytes, k: int, security: str, stream: int, threads: int | None
    ) -> None:
        session = check_session(session)
        self.depths = vole.tree_depths(k)
        self.k = int(k)
        if security not in (SEMI_HONEST, MALICIOUS):
            raise ValueError(f"security is {security!r}: use {SEMI_HONEST!r} or {MALICIOUS!r}")
        self.security = security
        self._channel, self._stream, self._threads = channel, stream, threads
        parameters = b"%s k=%d %s chunk=%d " % (_VERSION, self.k, security.encode(), CHUNK_BLOCKS)
        self.session = hashlib.sha256(parameters + session).digest()
        self._next_block = 0
        self._n_chunks = 0
        self._arenas: dict[str, Bytes] = {}

    @property
    def _checked(self) -> bool:
        return self.security == MALICIOUS

    def _arena(self, name: str, size: int) -> Bytes:
        """Memory that stays: the first `size` bytes of it."""
        arena = self._arenas.get(name)
        if arena is None or len(arena) < size:
            if arena is not None:
                arena.fill(0)
            arena = self._arenas[name] = aligned_empty(size)
        return arena[:size]

    def _wipe(self) -> None:
        for arena in self._arenas.values():
            arena.fill(0)
        self._arenas.clear()
        self.__dict__.pop("_field", None)  # wipes the keys; there is none yet where the set-up failed

    def _chunks(self, n_items: int) -> Iterator[tuple[int, int]]:
        """(items before it, items) of each chunk."""
        step = chunk_items(self.security)
        for begin in range(0, n_items, step):
            yield begin, min(step, n_items - begin)

    def _n_blocks(self, n_items: int) -> int:
        return (n_items + 127) // 128 + self._checked

    def _advance(self, n_blocks: int) -> tuple[int, int]:
        """(first block, number of the chunk), never given twice."""
        first, number = self._next_block, self._n_chunks
        self._next_block += n_blocks
        self._n_chunks += 1
        return first, number

    def _challenge(self, number: int, first: int, n_blocks: int, chosen: bool, corrections: Bytes) -> bytes:
        """The key of the check's hash [Fiat-Shamir]: of everything that the receiver fixed."""
        whole = len(corrections) - len(corrections) % _HASH_ROW
        transcript = hashlib.sha256(_VERSION + b" challenge " + self.session + self._bound)
        for value in (number, first, n_blocks, int(chosen)):
            transcript.update(value.to_bytes(8, "little"))
        for part in (corrections[:whole].reshape(-1, _HASH_ROW), corrections[whole:].reshape(1, -1)):
            if part.size:
                transcript.update(hashing.blake3(part, threads=self._threads).data)
        return transcript.digest()[:BLOCK_BYTES]

    def _receive(self, what: str, size: int) -> Bytes:
        message = self._channel.recv(self._stream)
        if len(message) != size:
            raise ProtocolAbort(
                f"{what} has {len(message)} bytes instead of {size}: the parties disagree about the protocol or the "
                "number of items"
            )
        return np.frombuffer(message, np.uint8)

    def _proofs(self, leaves: list[Bytes]) -> list[Bytes]:
        """Of each tree the proofs of its leaves, uint8[2^depth, 32] [Roy22, Fig. 14]."""
        domain = b"crypsis/ot/softspoken/leaf/v1" + self.session
        return [hashing.blake3(tree, domain=domain, threads=self._threads) for tree in leaves]


class SoftSpokenSender(_SoftSpoken, CotSender):
    """The side with Delta. Making one runs the set-up with the peer, which makes a `SoftSpokenReceiver`.

    channel, stream: where the protocol runs. session: 1 to 255 bytes, the same at both parties and new each time. k,
    security: as at the peer. delta: 16 bytes, for protocols that need the same Delta twice and tests; random if None.
    Raises ValueError, ConfigError where the parties' parameters differ, ProtocolAbort where the peer cheats.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        session: bytes,
        k: int = 4,
        security: str = MALICIOUS,
        stream: int = 0,
        delta: bytes | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__(channel, session, k, security, stream, threads)
        if delta is not None and len(delta) != BLOCK_BYTES:
            raise ValueError(f"delta has {len(delta)} bytes: give {BLOCK_BYTES}, or None for a random one")
        self.delta = np.frombuffer(bytes(delta or secrets.token_bytes(BLOCK_BYTES)), np.uint8).copy()
        with self._use():
            self._set_up()

    def _set_up(self) -> None:
        bits = np.unpackbits(self.delta, bitorder="little")
        # A level's base OT chooses the side away from the path; the path takes a part's bits from the highest.
        order = np.concatenate([first + np.arange(depth)[::-1] for first, depth in _columns(self.depths)])
        keys = base.receive(
            self._channel,
            (1 - bits[order]).astype(np.uint8),
            session=b"base" + self.session,
            stream=self._stream,
        )
        n_trees = len(self.depths)
        size = setup_message_bytes(self.k, self.security)
        message = self._receive("the set-up message", size)
        if not secrets.compare_digest(message[:32].tobytes(), self.session):
            raise ConfigError(
                "the peer has another k, security, version or session for SoftSpokenOT: give both the same"
            )
        sums = message[32 : 32 + DELTA_BITS * 2 * BLOCK_BYTES].reshape(DELTA_BITS, 2, BLOCK_BYTES)
        away = (1 - bits[order])[:, None]
        known = sums[:, 0] ^ ((0 - away) & (sums[:, 0] ^ sums[:, 1])) ^ keys
        leaves = []
        level = 0
        for first, depth in _columns(self.depths):
            position = int(bits[first : first + depth] @ (1 << np.arange(depth)))
            tree = vole.reconstruct_trees(
                np.ascontiguousarray(known[None, level : level + depth]),
                np.array([position], np.uint64),
                depth,
                threads=1,
            )[0]
            leaves.append(tree)
            level += depth
        if self._checked:
            rest = message[32 + sums.nbytes :].reshape(2, n_trees, _PROOF_BYTES)
            self._bound = hashlib.sha256(rest.tobytes()).digest()
            self._check_trees(leaves, bits, rest[0], rest[1])
        joined = np.concatenate(leaves)
        self._field = vole.SmallField(self.k, joined, self.delta.tobytes())
        for secret in (*leaves, joined, known, keys):
            secret.fill(0)

    def _check_trees(self, leaves: list[Bytes], bits: Bytes, xors: Bytes, digests: Bytes) -> None:
        """[Roy22, Fig. 14]: the missing leaf's proof follows from the xor, and all are confirmed by the hash."""
        good = True
        parts = _columns(self.depths)
        for proofs, (first, depth), xor, digest in zip(
            self._proofs(leaves), parts, xors, digests, strict=True
        ):
            places = np.arange(1 << depth)
            missing = places == int(bits[first : first + depth] @ (1 << np.arange(depth)))
            mask = 0 - missing.astype(np.uint8)[:, None]
            proofs &= ~mask
            proofs |= mask & (np.bitwise_xor.reduce(proofs, axis=0) ^ xor)
            good &= secrets.compare_digest(_tree_digest(self.session, proofs), digest.tobytes())
        if not good:
            raise ProtocolAbort(
                "the peer's trees are not consistent: it does not follow SoftSpokenOT's set-up"
            )

    def blocks(self, n_items: int, *, chosen: bool = False) -> Iterator[Bytes]:
        """As `CotSender.blocks`."""
        n_items = check_items(n_items)
        self._check_alive()
        return self._run(n_items, chosen)

    def _run(self, n_items: int, chosen: bool) -> Iterator[Bytes]:
        with self._use():
            for begin, n in self._chunks(n_items):
                for at, piece in self._chunk(n, chosen):
                    if begin + at + len(piece) == n_items:
                        break
                    yield piece
                    self.check_open()
        yield piece  # the last one: nothing is open any more

    def _chunk(self, n: int, chosen: bool) -> Iterator[tuple[int, Bytes]]:
        """(items of the chunk before it, rows) of each piece."""
        field = self._field
        n_blocks = self._n_blocks(n)
        first, number = self._advance(n_blocks)
        block_bytes = field.n_rows(chosen) * BLOCK_BYTES
        size = block_bytes * n_blocks
        message = self._receive("a chunk", size + self._checked * _CHECK_BYTES)
        corrections = message[:size]
        # Without a check rows are made when they are asked for; with one, all of the chunk's before the first goes out.
        step = n_blocks if self._checked else PIECE_BLOCKS
        columns = self._arena("columns", vole.columns_bytes(n_blocks)) if self._checked else None
        for at in range(0, n_blocks, step):
            m = min(step, n_blocks - at)
            rows = self._arena("rows", 128 * m * BLOCK_BYTES).reshape(-1, BLOCK_BYTES)
            field.extend_punctured(
                first + at,
                m,
                chosen=chosen,
                corrections=corrections[at * block_bytes : (at + m) * block_bytes],
                rows=rows,
                columns=columns,
                threads=self._threads,
            )
            if columns is not None:
                challenge = self._challenge(number, first, n_blocks, chosen, corrections)
                self._check_chunk(message[size:].reshape(-1, BLOCK_BYTES), challenge, columns, n_blocks)
            for begin, stop in _pieces(min(n - 128 * at, 128 * m)):
                yield 128 * at + begin, rows[begin:stop]

    def _check_chunk(self, theirs: Bytes, challenge: bytes, columns: Bytes, n_blocks: int) -> None:
        """H(w) = H(v) ^ Delta H(c) in every column [Roy22, section 4]."""
        own = vole.hash_columns(challenge, columns, n_blocks)
        mask = 0 - np.unpackbits(self.delta, bitorder="little")[:, None]
        if np.bitwise_or.reduce(own ^ theirs[:DELTA_BITS] ^ (theirs[DELTA_BITS] & mask), axis=None):
            raise ProtocolAbort("the check of a chunk failed: the peer's corrections are not consistent")

    def _wipe(self) -> None:
        super()._wipe()
        self.delta.fill(0)


class SoftSpokenReceiver(_SoftSpoken, CotReceiver):
    """The side with the choices; the peer makes a `SoftSpokenSender` with the same session, k and security."""

    def __init__(
        self,
        channel: Channel,
        *,
        session: bytes,
        k: int = 4,
        security: str = MALICIOUS,
        stream: int = 0,
        threads: int | None = None,
    ) -> None:
        super().__init__(channel, session, k, security, stream, threads)
        with self._use():
            self._set_up()

    def _set_up(self) -> None:
        keys = base.send(self._channel, DELTA_BITS, session=b"base" + self.session, stream=self._stream)
        seeds = random_bytes(len(self.depths), BLOCK_BYTES)
        leaves, sums = [], []
        for seed, depth in zip(seeds[:, None], self.depths, strict=True):
            tree, levels = vole.expand_trees(seed, depth, threads=1)
            leaves.append(tree[0])
            sums.append(levels[0])
        parts = [self.session, (np.concatenate(sums) ^ keys).tobytes()]
        if self._checked:
            proofs = self._proofs(leaves)
            parts += [np.bitwise_xor.reduce(proof, axis=0).tobytes() for proof in proofs]
            parts += [_tree_digest(self.session, proof) for proof in proofs]
            self._bound = hashlib.sha256(b"".join(parts[2:])).digest()
        self._channel.send(self._stream, b"".join(parts))
        joined = np.concatenate(leaves)
        self._field = vole.SmallField(self.k, joined)
        for secret in (seeds, *leaves, joined, *sums, keys):
            secret.fill(0)

    def blocks(self, n_items: int, choices: Bytes | None = None) -> Iterator[tuple[Bytes, Bytes]]:
        """As `CotReceiver.blocks`."""
        n_items = check_items(n_items)
        if choices is not None:
            choices = check_choices(choices, n_items)
        self._check_alive()
        return self._run(n_items, choices)

    def _run(self, n_items: int, choices: Bytes | None) -> Iterator[tuple[Bytes, Bytes]]:
        with self._use():
            for begin, n in self._chunks(n_items):
                part = None if choices is None else choices[begin // 8 : (begin + n + 7) // 8]
                bits, rows = self._chunk(n, part)
                for at, stop in _pieces(n):
                    piece = bits[at // 8 : (stop + 7) // 8], rows[at:stop]
                    if begin + stop == n_items:
                        break
                    yield piece
                    self.check_open()
        yield piece  # the last one: nothing is open any more

    def _chunk(self, n: int, choices: Bytes | None) -> tuple[Bytes, Bytes]:
        field = self._field
        n_blocks = self._n_blocks(n)
        first, number = self._advance(n_blocks)
        chosen = choices is not None
        size = field.n_rows(chosen) * n_blocks * BLOCK_BYTES
        message = self._arena("message", size + self._checked * _CHECK_BYTES)
        corrections = message[:size]
        bits = self._arena("bits", n_blocks * BLOCK_BYTES)
        rows = self._arena("rows", 128 * n_blocks * BLOCK_BYTES).reshape(-1, BLOCK_BYTES)
        padded = None
        if choices is not None:
            padded = self._arena("choices", n_blocks * BLOCK_BYTES)
            padded[: len(choices)] = choices
            # What is beyond the last item, the check's mask with it, is nobody's choice.
            rest = len(padded) - len(choices)
            padded[len(choices) :] = np.frombuffer(secrets.token_bytes(rest), np.uint8)
        columns = self._arena("columns", vole.columns_bytes(n_blocks)) if self._checked else None
        field.extend_full(
            first,
            n_blocks,
            choices=padded,
            corrections=corrections,
            bits=bits,
            rows=rows,
            columns=columns,
            threads=self._threads,
        )
        if columns is not None:
            challenge = self._challenge(number, first, n_blocks, chosen, corrections)
            message[size:] = vole.hash_columns(challenge, columns, n_blocks, bits=bits).reshape(-1)
        self._channel.send(self._stream, message.data)
        if n % 8:
            bits[n // 8] &= (1 << n % 8) - 1
        return bits[: (n + 7) // 8], rows[:n]


def chunk_items(security: str) -> int:
    """Items of a full chunk."""
    return 128 * (CHUNK_BLOCKS - (security == MALICIOUS))


def setup_message_bytes(k: int, security: str) -> int:
    """Bytes of the receiver's set-up message, beside the base OTs."""
    proofs = 2 * _PROOF_BYTES * len(vole.tree_depths(k)) if security == MALICIOUS else 0
    return 32 + DELTA_BITS * 2 * BLOCK_BYTES + proofs


def extension_bytes(n_items: int, k: int, security: str, *, chosen: bool = False) -> int:
    """Bytes that the receiver sends for one call of `blocks`, exactly; the sender sends none."""
    rows = len(vole.tree_depths(k)) - (not chosen)
    checked = security == MALICIOUS
    full, rest = divmod(n_items, chunk_items(security))
    blocks = full * CHUNK_BLOCKS + ((rest + 127) // 128 + checked if rest else 0)
    return rows * BLOCK_BYTES * blocks + checked * _CHECK_BYTES * (full + (rest > 0))


def aligned_empty(n_bytes: int) -> Bytes:
    """uint8[n_bytes] that begins on a cache line, as full-width stores want it."""
    raw = np.empty(n_bytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + n_bytes]


def _columns(depths: tuple[int, ...]) -> list[tuple[int, int]]:
    """(first column, depth) of each tree."""
    firsts = np.cumsum((0, *depths[:-1]))
    return [(int(first), depth) for first, depth in zip(firsts, depths, strict=True)]


def _pieces(n: int) -> list[tuple[int, int]]:
    """(begin, end) of what is handed out of n items, the same at both parties."""
    step = 128 * PIECE_BLOCKS
    return [(begin, min(begin + step, n)) for begin in range(0, n, step)]


def _tree_digest(session: bytes, proofs: Bytes) -> bytes:
    return hashlib.sha256(_VERSION + b" tree " + session + proofs.tobytes()).digest()
