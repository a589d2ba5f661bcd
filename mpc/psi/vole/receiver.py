# SPDX-License-Identifier: Apache-2.0
"""The receiver of VOLE-PSI: a thread makes VOLEs, one encodes and sends, the caller's matches the tags that come
back."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import numpy as np

from crypsis import okvs, partition
from crypsis.errors import CorruptData, ProtocolAbort
from crypsis.mpc.ot.silent_vole import SilentVoleReceiver
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver
from crypsis.mpc.psi.conveyor import Conveyor, Crew
from crypsis.mpc.psi.layout import COMMITMENT_BYTES, NONCE_BYTES, PROOF_BYTES, SEED_BYTES
from crypsis.mpc.psi.options import Progress
from crypsis.mpc.psi.vole.room import AHEAD, BLOCK_BYTES
from crypsis.mpc.psi.vole.session import (
    COMMITMENTS,
    RESULT,
    TABLE,
    TAGS,
    Bins,
    Bytes,
    Index,
    Matches,
    Session,
    Step,
    xor,
)


@dataclass(frozen=True, eq=False)
class _Sent:
    """A step that was sent. own: its tags; malicious, what they will be hashes of, with `promised`, the sender's
    commitment and one's own nonce of each bin."""

    step: Step
    own: Bytes
    promised: list[tuple[bytes, bytes]] = field(default_factory=list)


class Receiver(Session):
    """See `open_session`."""

    sends, receives = TABLE, TAGS

    @property
    def keys_bound(self) -> int:  # type: ignore[override]
        """Most keys of an inner bin."""
        return self.layout.receiver_bound

    def _matches(self, crew: Crew, bins: Bins, progress: Progress) -> Matches:
        layout = self.layout
        voles: Conveyor[tuple[Bytes, Bytes]] = crew.conveyor(AHEAD)
        wanted: Conveyor[int] = crew.conveyor(layout.inner + 1)  # an outer bin's steps are put there at once
        sent: Conveyor[_Sent] = crew.conveyor(self.waiting_steps)
        crew.start("vole", lambda: self._expand(wanted, voles))
        crew.start("encode", lambda: self._encode(bins, wanted, voles, sent))
        matched: list[Index] = []
        for one in sent:
            index = self._match(one)
            index += np.uint32(one.step.begin)
            matched.append(index)
            progress("exchange bins", layout.inner * one.step.outer + one.step.last, layout.n_bins)
            if one.step.ends_outer:
                yield one.step.outer, np.concatenate(matched)
                matched = []

    def _expand(self, wanted: Conveyor[int], voles: Conveyor[tuple[Bytes, Bytes]]) -> None:
        """Puts (u, w) of as many VOLEs as are wanted, in memory that is used again AHEAD + 2 steps later."""
        with self.voles(SoftSpokenReceiver, SilentVoleReceiver) as source:
            for number, n in enumerate(wanted):
                slot = number % (AHEAD + 2)
                with self.place.stage("vole"):
                    u = self.memory(f"u {slot}", n, self.layout.field // 8)
                    w = self.memory(f"w {slot}", n, BLOCK_BYTES)
                    done = 0
                    for more_u, more_w in source.blocks(n):
                        end = done + len(more_w)
                        u[done:end], w[done:end] = more_u, more_w
                        done = end
                voles.put((u, w))

    def _encode(
        self, bins: Bins, wanted: Conveyor[int], voles: Conveyor[tuple[Bytes, Bytes]], sent: Conveyor[_Sent]
    ) -> None:
        columns = self.layout.table.columns
        for outer, these in bins:
            steps = self.steps(outer, these)
            for step in steps:
                wanted.put(len(step) * columns)
            commitments = self._commitments() if self.malicious else []
            promised = [(one, secrets.token_bytes(NONCE_BYTES)) for one in commitments]
            seed = secrets.token_bytes(SEED_BYTES)
            self.channel.send(TABLE, seed + b"".join(nonce for _, nonce in promised))
            for step in steps:
                u, w = voles.get()
                with self.place.stage("encode"):
                    one = self._encode_step(step, seed, u, w, promised[step.first : step.last])
                sent.put(one)
        wanted.finish()
        sent.finish()

    def _encode_step(
        self, step: Step, seed: bytes, u: Bytes, w: Bytes, promised: list[tuple[bytes, bytes]]
    ) -> _Sent:
        parameters, keys, xp = self.layout.table, step.keys, self.place.xp
        starts = self.place.from_host(step.starts)
        shape = (len(step), parameters.columns, parameters.value_bytes)
        table = okvs.encode(
            keys,
            starts,
            self.values(keys),
            parameters,
            seed=seed,
            out=self.memory("table", *shape),
            threads=self.threads,
        )
        xp.bitwise_xor(table.view("u8"), u.reshape(shape).view("u8"), out=table.view("u8"))
        if step.first == 0:
            self.before_keys(step.outer)
        for part in table:
            self.send(TABLE, part)
        decoded = okvs.decode(
            keys,
            starts,
            w.reshape(*shape[:2], BLOCK_BYTES),
            parameters,
            seed=seed,
            out=self.memory("decoded", len(keys), BLOCK_BYTES),
            threads=self.threads,
        )
        if self.malicious:  # the sender's share of the mask comes with its tags
            return _Sent(step, decoded.copy(), promised)
        return _Sent(step, self.hash_tags(keys, decoded, [], step.starts))

    def _commitments(self) -> list[bytes]:
        raw = self.message(COMMITMENTS, "commitments", COMMITMENT_BYTES * self.layout.inner).tobytes()
        return [raw[i : i + COMMITMENT_BYTES] for i in range(0, len(raw), COMMITMENT_BYTES)]

    def _match(self, sent: _Sent) -> Index:
        """Own keys of a step that matched, counted from its first, in the order of the peer's tags."""
        layout, step = self.layout, sent.step
        messages = [self.message(TAGS, "tags", layout.tags_bytes) for _ in range(len(step))]
        if self.malicious:
            masks = []
            for message, (commitment, nonce) in zip(messages, sent.promised, strict=True):
                opening = message[:NONCE_BYTES].tobytes()
                if not secrets.compare_digest(self.commitment(opening), commitment):
                    raise ProtocolAbort(
                        f"{self.channel.peer} opened another value than it committed to; ended"
                    )
                masks.append(xor(opening, nonce))
            messages = [message[NONCE_BYTES:] for message in messages]
        else:
            masks = []
        peer = messages[0] if len(messages) == 1 else np.concatenate(messages)
        with self.place.stage("match"):
            index, places, proofs = self._compare(step, sent.own, masks, peer)
        self._tell_result(len(step), places, proofs)
        return index

    def _compare(
        self, step: Step, own: Bytes, masks: list[bytes], peer: Bytes
    ) -> tuple[Index, Index, Bytes | None]:
        """(Own keys, their places among the peer's tags, malicious and with broadcast the proofs of them)."""
        layout, place = self.layout, self.place
        all_proofs = None
        if self.malicious:
            hashed = self.hash_tags(step.keys, own, masks, step.starts)
            own = hashed[:, : layout.tag_bytes].copy()
            all_proofs = hashed[:, layout.tag_bytes :] if self.broadcast else None
        peer_starts = np.arange(len(step) + 1, dtype=np.uint64) * np.uint64(layout.sender_bound)
        try:
            index, places = partition.match(
                own,
                place.from_host(step.starts),
                place.from_host(peer.reshape(-1, layout.tag_bytes)),
                place.from_host(peer_starts),
                threads=self.threads,
            )
        except CorruptData as error:
            raise ProtocolAbort(
                f"{self.channel.peer} sent tags that are not in order: {error}; ended"
            ) from error
        proofs = None if all_proofs is None else place.to_host(all_proofs[index])
        return place.to_host(index), place.to_host(places), proofs

    def _tell_result(self, n_bins: int, places: Index, proofs: Bytes | None) -> None:
        """With broadcast: which tags matched, a message an inner bin."""
        layout, bound = self.layout, self.layout.sender_bound
        if proofs is not None:
            random = secrets.token_bytes(n_bins * layout.result_bytes)
            results = np.frombuffer(random, np.uint8).reshape(-1, PROOF_BYTES).copy()
            results[places] = proofs
            for part in results.reshape(n_bins, bound, PROOF_BYTES):
                self.channel.send(RESULT, part.data)
        elif self.broadcast:
            bits = np.zeros(n_bins * bound, np.uint8)
            bits[places] = 1
            for part in bits.reshape(n_bins, bound):
                packed = np.packbits(part, bitorder="little")
                self.channel.send(RESULT, packed.data if packed.size else b"")
