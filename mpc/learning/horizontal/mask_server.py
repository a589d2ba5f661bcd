# SPDX-License-Identifier: Apache-2.0
"""The server of a masked sum: a state machine that takes the clients' messages round by round. See `masks`."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from crypsis.errors import CorruptData, ProtocolAbort
from crypsis.mpc.learning.horizontal import messages as m
from crypsis.mpc.learning.horizontal import shamir
from crypsis.mpc.learning.horizontal.plan import Plan, Values, Words

_LENGTH = struct.Struct("<Q")
_NEXT = {m.ADVERTISE: m.SHARES, m.SHARES: m.MASKED, m.MASKED: m.REVEAL, m.SIGNED: m.REVEAL}


class MaskServer:
    """Of one sum.

    In each round: `receive` the message of everyone in `waiting_for`, or of as many as come; then `advance` gives what
    each client that answered is sent next. Who did not answer has dropped out. After the last round, `advance` returns
    nothing and `result` is there.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._due: int | None = m.ADVERTISE
        self._present = set(range(len(plan.clients)))
        self._got: dict[int, bytes] = {}
        self._seen: set[bytes] = set()
        self._keys: dict[int, bytes] = {}
        self._promises: dict[int, bytes] = {}
        self._sharers: tuple[int, ...] = ()
        self._survivors: tuple[int, ...] = ()
        self._sum: Words = np.zeros(plan.n_words, plan.dtype)
        self._shown: dict[int, dict[int, bytes]] = {}

    def __repr__(self) -> str:
        return f"MaskServer({self.round_name or 'finished'}, {len(self._present)} of {len(self.plan.clients)} clients)"

    @property
    def round_name(self) -> str:
        """What the clients send in this round; empty after the last."""
        return "" if self._due is None else m.NAMES[self._due]

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Who has not answered in this round."""
        if self._due is None:
            return ()
        return tuple(self.plan.clients[index] for index in sorted(self._present - set(self._got)))

    @property
    def survivors(self) -> tuple[str, ...]:
        """Whose numbers are in the sum; empty before that is settled."""
        return tuple(self.plan.clients[index] for index in self._survivors)

    def message_bytes(self) -> int:
        """No message of a client is longer in this round."""
        plan = self.plan
        entry = m.INDEX.size + max(m.SEALED_BYTES, 2 * m.KEY_BYTES + m.SIGNATURE_BYTES)
        body = plan.n_words * plan.dtype.itemsize if self._due == m.MASKED else 32 + entry * plan.n_holders
        return m.HEAD.size + body

    def receive(self, name: str, message: Any) -> None:
        """A client's message of this round. ProtocolAbort, naming it, for one that does not fit: nothing has changed
        then, and the client may be treated as one that dropped out."""
        index = self.plan.index(name)
        if self._due is None:
            raise ProtocolAbort(f"{name!r} sent a message after the last round; ended")
        if index not in self._present:
            raise ProtocolAbort(f"{name!r} sent a message after it had dropped out; ended")
        if index in self._got:
            raise ProtocolAbort(f"{name!r} sent a second message in one round; ended")
        _, body = m.read(self.plan, message, self._due, index)
        if self._due == m.MASKED:
            if len(body) != self.plan.n_words * self.plan.dtype.itemsize:
                raise ProtocolAbort(
                    f"{name!r} sent a masked input of {len(body)} bytes where"
                    f" {self.plan.n_words * self.plan.dtype.itemsize} were due; ended"
                )
            self._sum += np.frombuffer(body, self.plan.dtype)
            self._got[index] = b""
            return
        content = bytes(body)
        self._check(index, content)
        self._got[index] = content

    def _check(self, index: int, body: bytes) -> None:
        plan, name = self.plan, self.plan.clients[index]
        if self._due == m.ADVERTISE:
            size = 2 * m.KEY_BYTES + (m.SIGNATURE_BYTES if plan.active else 0)
            if len(body) != size:
                raise ProtocolAbort(f"{name!r} sent {len(body)} bytes of keys where {size} were due; ended")
            keys = body[: 2 * m.KEY_BYTES]
            m.check_keys([keys])
            both = {keys[: m.KEY_BYTES], keys[m.KEY_BYTES :]}
            if both & self._seen:
                raise ProtocolAbort(f"{name!r} sent a public key that another client has; ended")
            if plan.active:
                m.verify(plan, index, m.ADVERTISE, keys, body[2 * m.KEY_BYTES :])
            self._seen |= both
        elif self._due == m.SHARES:
            sealed = m.entries(memoryview(body)[32:], m.SEALED_BYTES, f"{m.NAMES[m.SHARES]} of {name!r}")
            if len(body) < 32 or set(sealed) != self._holders(index, self._keys) - {index}:
                raise ProtocolAbort(f"{name!r} sent shares for others than the holders that are there; ended")
        elif self._due == m.SIGNED:
            m.verify(plan, index, m.SURVIVORS, self._survivor_list(index), body)
        else:
            shown = m.entries(memoryview(body), 1 + shamir.SHARE_BYTES, f"{m.NAMES[m.REVEAL]} of {name!r}")
            if set(shown) != self._holders(index, self._sharers):
                raise ProtocolAbort(f"{name!r} sent shares of others than were asked for; ended")
            for owner, share in shown.items():
                kind = m.SELF_SEED if owner in self._survivors else m.MASK_KEY
                if share[0] != kind:
                    raise ProtocolAbort(f"{name!r} sent a share of the wrong secret of client {owner}; ended")
                shamir.check(share[1:])

    def advance(self) -> dict[str, bytes]:
        """Ends the round: {client: its next message}, empty after the last one.

        ProtocolAbort where too few have answered: the sum is lost, and nobody's numbers are known; start again, with a
        new session, with those that are there.
        """
        if self._due is None:
            return {}
        self._present &= set(self._got)
        self._check_enough()
        due, got, self._got = self._due, self._got, {}
        out: dict[int, bytes] = {}
        if due == m.ADVERTISE:
            self._keys = got
            for index in self._present:
                of = {i: got[i] for i in self._holders(index, got)}
                out[index] = m.write(self.plan, m.KEYS, m.SERVER, m.listing(of))
        elif due == m.SHARES:
            self._sharers = tuple(sorted(got))
            self._promises = {index: body[:32] for index, body in got.items()}
            boxes: dict[int, dict[int, bytes]] = {index: {} for index in got}
            for index, body in got.items():
                for holder, sealed in m.entries(memoryview(body)[32:], m.SEALED_BYTES, "list").items():
                    if holder in boxes:
                        boxes[holder][index] = sealed
            for index, box in boxes.items():
                out[index] = m.write(self.plan, m.INBOX, m.SERVER, m.listing(box))
        elif due == m.MASKED:
            self._survivors = tuple(sorted(got))
            for index in got:
                out[index] = m.write(self.plan, m.SURVIVORS, m.SERVER, self._survivor_list(index))
        elif due == m.SIGNED:
            for index in got:
                out[index] = m.write(self.plan, m.SIGNATURES, m.SERVER, m.listing(got))
        else:
            for holder, body in got.items():
                for owner, share in m.entries(memoryview(body), 1 + shamir.SHARE_BYTES, "list").items():
                    self._shown.setdefault(owner, {})[holder + 1] = share[1:]
            self._unmask()
        if due == m.MASKED and self.plan.active:
            self._due = m.SIGNED
        else:
            self._due = _NEXT.get(due)
        return {self.plan.clients[index]: message for index, message in sorted(out.items())}

    def result(self) -> tuple[Values, int]:
        """(sum of weight times values, sum of weights) over the `survivors`. Exact: no noise beyond their rounding.

        ProtocolAbort for a sum of weights that theirs cannot have."""
        if self._due is not None:
            raise ProtocolAbort(f"the sum is not there before its last round; {self.round_name} are due")
        values, weight = self.plan.decode(self._sum)
        if not len(self._survivors) <= weight <= len(self._survivors) * self.plan.max_weight:
            raise ProtocolAbort(
                f"the sum of the weights of {len(self._survivors)} clients is {weight}: one of them sent a wrong"
                " vector; there is no sum"
            )
        return values, weight

    def words(self) -> Words:
        """The sum in the ring, as `result` decodes it."""
        self.result()
        return self._sum.copy()

    def _holders(self, index: int, there: Any) -> set[int]:
        return {holder for holder in self.plan.holders[index] if holder in there}

    def _survivor_list(self, index: int) -> bytes:
        return b"".join(m.INDEX.pack(i) for i in sorted(self._holders(index, self._survivors)))

    def _check_enough(self) -> None:
        plan = self.plan
        owners = self._sharers if self._due in (m.MASKED, m.SIGNED, m.REVEAL) else tuple(self._present)
        for index in owners:
            there = len(self._holders(index, self._present))
            if there < plan.need:
                raise ProtocolAbort(
                    f"only {len(self._present)} of {len(plan.clients)} clients sent {self.round_name}: of"
                    f" {plan.clients[index]!r}, {there} holders of shares are left and {plan.need} are needed; start"
                    " again with those that are there"
                )
        if not owners:
            raise ProtocolAbort(f"no client sent {self.round_name}: start again when they are there")

    def _unmask(self) -> None:
        plan, seeds = self.plan, []
        for owner in self._survivors:
            secret = self._recover(owner)
            if m.commitment(plan, secret, owner) != self._promises[owner]:
                raise self._wrong(owner)
            seeds.append((m.self_seed(plan, secret, owner), -1))
        for owner in set(self._sharers) - set(self._survivors):
            secret = self._recover(owner)
            if m.public_key(secret) != self._keys[owner][m.KEY_BYTES : 2 * m.KEY_BYTES]:
                raise self._wrong(owner)
            publics = {
                i: self._keys[i][m.KEY_BYTES : 2 * m.KEY_BYTES]
                for i in sorted(self._holders(owner, self._survivors) - {owner})
            }
            for index, common in m.agree(secret, publics).items():
                seeds.append((m.mask_seed(plan, common, owner, index), -1 if index < owner else 1))
        m.add_masks(self._sum, seeds)

    def _recover(self, owner: int) -> bytes:
        return shamir.combine(self._shown.get(owner, {}), self.plan.need)

    def _wrong(self, owner: int) -> ProtocolAbort:
        return ProtocolAbort(
            f"the shares of a secret of {self.plan.clients[owner]!r} give another than it committed to: it, or a"
            " holder, sent wrong ones; there is no sum"
        )

    def to_bytes(self) -> bytes:
        """The state after `advance`, for a server that ends and goes on later: no client's secrets or numbers, but
        before the last round the masked sum."""
        if self._got:
            raise ValueError("the round has begun: keep the state after advance, before any receive")
        lists = {
            name: {str(i): v.hex() for i, v in getattr(self, name).items()} for name in ("_keys", "_promises")
        }
        head = json.dumps(
            {
                "version": 1,
                "plan": self.plan.digest.hex(),
                "due": self._due,
                "present": sorted(self._present),
                "sharers": self._sharers,
                "survivors": self._survivors,
                **lists,
            }
        ).encode()
        return _LENGTH.pack(len(head)) + head + self._sum.tobytes()

    @classmethod
    def from_bytes(cls, plan: Plan, data: bytes) -> MaskServer:
        """Of `to_bytes`, with the same plan. CorruptData for anything else."""
        try:
            (length,) = _LENGTH.unpack_from(data)
            state = json.loads(data[_LENGTH.size : _LENGTH.size + length])
            if state["version"] != 1 or state["plan"] != plan.digest.hex():
                raise CorruptData("the state of a server is of another plan or version")
            server = cls(plan)
            server._due = state["due"]
            server._present = {int(index) for index in state["present"]}
            server._sharers = tuple(int(index) for index in state["sharers"])
            server._survivors = tuple(int(index) for index in state["survivors"])
            for name in ("_keys", "_promises"):
                setattr(server, name, {int(i): bytes.fromhex(v) for i, v in state[name].items()})
            total = np.frombuffer(data, plan.dtype, offset=_LENGTH.size + length)
            if total.shape != (plan.n_words,):
                raise CorruptData("the state of a server is cut short")
            server._sum = total.copy()
        except (ValueError, TypeError, KeyError, AttributeError, struct.error) as error:
            raise CorruptData(f"the state of a server cannot be read: {error}") from None
        return server
