# SPDX-License-Identifier: Apache-2.0
"""The sender of VOLE-PSI: a thread makes VOLEs, one answers tables with tags, the caller's hears what matched."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import okvs, partition
from crypsis.errors import ProtocolAbort
from crypsis.mpc.ot.silent_vole import SilentVoleSender
from crypsis.mpc.ot.softspoken import SoftSpokenSender
from crypsis.mpc.psi.conveyor import Conveyor, Crew
from crypsis.mpc.psi.layout import NONCE_BYTES, PROOF_BYTES, SEED_BYTES
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

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Sent:
    """A step that was answered. order: where each tag came from; malicious, the proofs of its keys."""

    step: Step
    order: Index
    proofs: Bytes | None


class Sender(Session):
    """See `open_session`."""

    sends, receives = TAGS, TABLE

    @property
    def keys_bound(self) -> int:  # type: ignore[override]
        """Most keys of an inner bin."""
        return self.layout.sender_bound

    def _matches(self, crew: Crew, bins: Bins, progress: Progress) -> Matches:
        layout = self.layout
        voles: Conveyor[tuple[Bytes, Bytes]] = crew.conveyor(AHEAD)
        wanted: Conveyor[int] = crew.conveyor(layout.inner + 1)  # an outer bin's steps are put there at once
        sent: Conveyor[_Sent] = crew.conveyor(self.waiting_steps)
        crew.start("vole", lambda: self._expand(wanted, voles))
        crew.start("tags", lambda: self._answer(bins, wanted, voles, sent))
        matched: list[Index] = []
        for one in sent:
            step = one.step
            if self.broadcast:
                matched.append(self._result(one))
            progress("exchange bins", layout.inner * step.outer + step.last, layout.n_bins)
            if step.ends_outer:
                yield step.outer, np.concatenate(matched) if self.broadcast else None
                matched = []

    def _expand(self, wanted: Conveyor[int], voles: Conveyor[tuple[Bytes, Bytes]]) -> None:
        """Puts (v, Delta) of as many VOLEs as are wanted, in memory that is used again AHEAD + 2 steps later."""
        with self.voles(SoftSpokenSender, SilentVoleSender) as source:
            for number, n in enumerate(wanted):
                with self.place.stage("vole"):
                    v = self.memory(f"v {number % (AHEAD + 2)}", n, BLOCK_BYTES)
                    done = 0
                    for more in source.blocks(n):
                        v[done : done + len(more)] = more
                        done += len(more)
                    delta = self.place.secret_copy(source.delta)
                voles.put((v, delta))

    def _answer(
        self,
        bins: Bins,
        wanted: Conveyor[int],
        voles: Conveyor[tuple[Bytes, Bytes]],
        sent: Conveyor[_Sent],
    ) -> None:
        layout = self.layout
        for outer, these in bins:
            steps = self.steps(outer, these)
            for step in steps:
                wanted.put(len(step) * layout.table.columns)
            openings: list[bytes] = []
            if self.malicious:
                openings = [secrets.token_bytes(NONCE_BYTES) for _ in range(layout.inner)]
                self.channel.send(COMMITMENTS, b"".join(map(self.commitment, openings)))
            size = SEED_BYTES + NONCE_BYTES * len(openings)
            head = self.message(TABLE, "a seed and nonces", size).tobytes()
            seed, nonces = head[:SEED_BYTES], head[SEED_BYTES:]
            for step in steps:
                own = openings[step.first : step.last]
                peers = nonces[NONCE_BYTES * step.first : NONCE_BYTES * step.last]
                v, delta = voles.get()
                with self.place.stage("tags"):
                    tags, proofs = self._tags(step, seed, v, delta, own, peers)
                    delta.fill(0)
                    order = self._send_tags(step, tags, own)
                sent.put(_Sent(step, order, proofs))
        wanted.finish()
        sent.finish()

    def _tags(
        self, step: Step, seed: bytes, v: Bytes, delta: Bytes, openings: list[bytes], nonces: bytes
    ) -> tuple[Bytes, Bytes | None]:
        """(Tags, malicious and with broadcast the proofs) of the step's keys, in their order."""
        layout, keys, place = self.layout, step.keys, self.place
        k = v.reshape(len(step), layout.table.columns, BLOCK_BYTES)
        for part in k:
            table = self.message(TABLE, "a table", layout.table_bytes).reshape(len(part), -1)
            self.add_times_delta(part, place.from_host(table), delta)
        decoded = okvs.decode(
            keys,
            place.from_host(step.starts),
            k,
            layout.table,
            seed=seed,
            out=self.memory("decoded", len(keys), BLOCK_BYTES),
            threads=self.threads,
        )
        self.add_times_delta(decoded, self.values(keys), delta)
        masks = [
            xor(opening, nonces[NONCE_BYTES * i : NONCE_BYTES * (i + 1)])
            for i, opening in enumerate(openings)
        ]
        tags = self.hash_tags(keys, decoded, masks, step.starts)
        if not self.malicious:
            return tags, None
        width = layout.tag_bytes
        return tags[:, :width].copy(), tags[:, width:].copy() if self.broadcast else None

    def _send_tags(self, step: Step, tags: Bytes, openings: list[bytes]) -> Index:
        """Sends the tags of a step; the place that each of them came from, those of padding included."""
        layout, place = self.layout, self.place
        bound, width = layout.sender_bound, layout.tag_bytes
        padded = self.memory("padded", len(step) * bound, width)
        for i in range(len(step)):
            begin, end = int(step.starts[i]), int(step.starts[i + 1])
            padded[i * bound : i * bound + end - begin] = tags[begin:end]
            padding = padded[i * bound + end - begin : (i + 1) * bound]
            random = np.frombuffer(secrets.token_bytes(padding.size), np.uint8)
            padding[...] = place.from_host(random.reshape(padding.shape))
        starts = np.arange(len(step) + 1, dtype=np.uint64) * np.uint64(bound)
        out = self.memory("in order", len(padded), width)
        in_order, order = partition.sort_tags(
            padded,
            place.from_host(starts),
            out=(out, place.empty(len(padded), np.uint32)),
            threads=self.threads,
        )
        if step.first == 0:
            self.before_keys(step.outer)
        for i in range(len(step)):
            part = in_order[i * bound : (i + 1) * bound]
            if openings:
                self.channel.send(TAGS, openings[i] + place.to_host(part).tobytes())
            else:
                self.send(TAGS, part)
        return order

    def _result(self, sent: _Sent) -> Index:
        """Own keys that matched, in the order of the tags."""
        step = sent.step
        found = []
        with self.place.stage("result"):
            for i in range(len(step)):
                raw = self.message(RESULT, "results", self.layout.result_bytes)
                found.append(self._found(sent, i, raw))
        return np.concatenate(found)

    def _found(self, sent: _Sent, i: int, raw: Bytes) -> Index:
        """Those of the i-th inner bin of a step."""
        step, bound, place = sent.step, self.layout.sender_bound, self.place
        first, n_keys = int(step.starts[i]), int(step.starts[i + 1] - step.starts[i])
        own = sent.order[i * bound : (i + 1) * bound].astype(np.int64) - i * bound
        given = place.from_host(raw)
        if sent.proofs is None:
            own = self._told(given, own, n_keys)
        else:
            proofs = sent.proofs[first : first + n_keys]
            own = _proven(place.xp, given.reshape(-1, PROOF_BYTES), own, proofs)
        return (place.to_host(own) + step.begin + first).astype(np.uint32)

    def _told(self, raw: Bytes, own: Places, n_keys: int) -> Places:
        """Of own keys in the order of their tags, those whose bit is set. `own` from n_keys on is padding."""
        xp = self.place.xp
        bits = xp.unpackbits(raw, bitorder="little")
        own, rest = own[xp.flatnonzero(bits[: len(own)])], bits[len(own) :]
        if bool(xp.any(own >= n_keys)) or bool(xp.any(rest)):
            raise ProtocolAbort(f"{self.channel.peer} says that padding is in its set; ended")
        return own


def _proven(xp: Any, given: Bytes, own: Places, proofs: Bytes) -> Places:
    """Of own keys in the order of their tags, those whose proof was given. What is given for others, or for padding,
    means nothing, and nobody is told so."""
    places = xp.flatnonzero(own < len(proofs))
    equal = (given[places] == proofs[own[places]]).all(axis=1)
    proven: Places = own[places[equal]]
    return proven
