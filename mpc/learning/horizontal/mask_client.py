# SPDX-License-Identifier: Apache-2.0
"""A client of a masked sum: a state machine from message to message. See `masks` for the protocol."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from crypsis import curve25519
from crypsis.errors import ConfigError, CorruptData, ProtocolAbort
from crypsis.mpc.learning.horizontal import messages as m
from crypsis.mpc.learning.horizontal import shamir
from crypsis.mpc.learning.horizontal.plan import Plan, Words

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_BYTES = ("_share_key", "_mask_key", "_self_secret", "_survivors", "_answered")
_LISTS = ("_publics", "_own_shares", "_inbox")


class MaskClient:
    """Of one client, for one sum.

    identity: its Ed25519 private key, where the plan has identities. The order of calls: `advertise`, then `answer` to
    each message of the server. Each message is answered once; the last one again with the same bytes, so a server that
    lost its connection may ask again. Anything else raises ProtocolAbort and ends the client's part: it then
    answers nothing more.
    """

    def __init__(self, plan: Plan, name: str, *, identity: Ed25519PrivateKey | None = None) -> None:
        self.plan, self.name = plan, name
        self.index = plan.index(name)
        if plan.active != (identity is not None):
            raise ConfigError(
                f"client {name!r} {'needs' if plan.active else 'has'} an identity and the plan has"
                f" {'identities' if plan.active else 'none'}: give both, or neither"
            )
        self._identity = identity
        self._due: tuple[int, ...] = ()
        self._share_key = curve25519.random_scalar().tobytes()
        self._mask_key = curve25519.random_scalar().tobytes()
        self._self_secret = os.urandom(shamir.SECRET_BYTES)
        self._publics: dict[int, bytes] = {}
        self._own_shares: dict[int, bytes] = {}
        self._inbox: dict[int, bytes] = {}
        self._survivors = b""
        self._answered = b""
        self._last_answer = b""

    def __repr__(self) -> str:
        return f"MaskClient({self.name!r} of {len(self.plan.clients)}, expects {self.expects or 'nothing'})"

    @property
    def expects(self) -> tuple[str, ...]:
        """What messages of the server would be answered now; empty before the first call, and after the last."""
        return tuple(m.NAMES[kind] for kind in self._due)

    @property
    def needs_input(self) -> bool:
        """The next message is answered with this client's masked input: give `vector` then."""
        return m.INBOX in self._due

    @property
    def finished(self) -> bool:
        """All that the protocol asks of this client was said."""
        return not self._due and bool(self._answered)

    def advertise(self) -> bytes:
        """The first message: two public keys. The same again until the first answer."""
        if self._answered or self._due not in ((), (m.KEYS,)):
            raise ProtocolAbort(
                f"client {self.name!r} has advertised its keys before: make a new one for a new sum"
            )
        self._due = (m.KEYS,)
        return m.write(self.plan, m.ADVERTISE, self.index, self._advertised())

    def answer(self, message: Any, vector: Words | None = None) -> bytes:
        """The answer to the server's message. vector: `plan.encode(...)`, when `needs_input`."""
        asked = hashlib.sha256(memoryview(message)).digest()
        if asked == self._answered and self._last_answer:
            return self._last_answer
        try:
            if not self._due:
                raise ProtocolAbort(f"client {self.name!r} has no more to say in this sum; ended")
            kind, body = m.read(self.plan, message, self._due, m.SERVER)
            if kind == m.INBOX and vector is None:
                raise ValueError("vector is None: the masked input is due; give plan.encode(values, weight)")
            reply = self._step(kind, body, vector)
        except ProtocolAbort:
            self._forget()
            raise
        self._answered, self._last_answer = asked, reply
        return reply

    def _step(self, kind: int, body: memoryview, vector: Words | None) -> bytes:
        if kind == m.KEYS:
            return self._share(body)
        if kind == m.INBOX and vector is not None:
            return self._mask(body, vector)
        if kind == m.SURVIVORS:
            self._read_survivors(body)
            if self._identity is not None:
                self._due = (m.SIGNATURES,)
                signature = m.sign(self.plan, self._identity, m.SURVIVORS, self._survivors)
                return m.write(self.plan, m.SIGNED, self.index, signature)
        else:
            self._check_signatures(body)
        return self._reveal()

    def _advertised(self) -> bytes:
        keys = m.public_key(self._share_key) + m.public_key(self._mask_key)
        if self._identity is None:
            return keys
        return keys + m.sign(self.plan, self._identity, m.ADVERTISE, keys)

    def _share(self, body: memoryview) -> bytes:
        plan = self.plan
        size = 2 * m.KEY_BYTES + (m.SIGNATURE_BYTES if plan.active else 0)
        found = m.entries(body, size, m.NAMES[m.KEYS])
        self._check_set(found, plan.holders[self.index], m.NAMES[m.KEYS])
        if found[self.index][: 2 * m.KEY_BYTES] != self._advertised()[: 2 * m.KEY_BYTES]:
            raise ProtocolAbort(f"the server has other keys of {self.name!r} than it sent; ended")
        if plan.active:
            for index, keys in found.items():
                m.verify(plan, index, m.ADVERTISE, keys[: 2 * m.KEY_BYTES], keys[2 * m.KEY_BYTES :])
        self._publics = {index: keys[: 2 * m.KEY_BYTES] for index, keys in found.items()}
        m.check_keys(self._publics.values())
        points = [index + 1 for index in self._publics]
        of_self = shamir.split(self._self_secret, plan.need, points)
        of_key = shamir.split(self._mask_key, plan.need, points)
        common = m.agree(self._share_key, self._others(0))
        sealed = {}
        for index, one, other in zip(self._publics, of_self, of_key, strict=True):
            if index == self.index:
                self._own_shares = {index: one + other}
            else:
                sealed[index] = m.seal(plan, common[index], self.index, index, one + other)
        self._due = (m.INBOX,)
        promise = m.commitment(plan, self._self_secret, self.index)
        return m.write(plan, m.SHARES, self.index, promise, m.listing(sealed))

    def _mask(self, body: memoryview, vector: Words) -> bytes:
        plan = self.plan
        if vector.dtype != plan.dtype or vector.shape != (plan.n_words,):
            raise ValueError(
                f"vector is {vector.dtype}{list(vector.shape)}: give what plan.encode returns,"
                f" {plan.dtype}[{plan.n_words}]"
            )
        found = m.entries(body, m.SEALED_BYTES, m.NAMES[m.INBOX])
        if self.index in found:
            raise ProtocolAbort(f"the server sent {self.name!r} shares in its own name; ended")
        self._check_set({*found, self.index}, tuple(self._publics), m.NAMES[m.INBOX])
        common = m.agree(self._share_key, self._others(0))
        inbox = {}
        for index, sealed in found.items():
            text = m.unseal(plan, common[index], index, self.index, sealed)
            for at in (0, shamir.SHARE_BYTES):
                shamir.check(text[at : at + shamir.SHARE_BYTES])
            inbox[index] = text
        self._inbox = inbox
        masks = m.agree(
            self._mask_key, {index: key for index, key in self._others(1).items() if index in inbox}
        )
        seeds = [(m.self_seed(plan, self._self_secret, self.index), 1)]
        for index, secret in masks.items():
            seeds.append((m.mask_seed(plan, secret, self.index, index), 1 if self.index < index else -1))
        masked = vector.copy()
        m.add_masks(masked, seeds)
        self._due = (m.SURVIVORS,)
        return m.write(plan, m.MASKED, self.index, masked.tobytes())

    def _read_survivors(self, body: memoryview) -> None:
        found = m.entries(body, 0, m.NAMES[m.SURVIVORS])
        self._check_set(found, (*self._inbox, self.index), m.NAMES[m.SURVIVORS])
        self._survivors = bytes(body)

    def _check_signatures(self, body: memoryview) -> None:
        found = m.entries(body, m.SIGNATURE_BYTES, m.NAMES[m.SIGNATURES])
        survivors = m.entries(memoryview(self._survivors), 0, m.NAMES[m.SURVIVORS])
        self._check_set(found, tuple(survivors), m.NAMES[m.SIGNATURES], itself=False)
        for index, signature in found.items():
            m.verify(self.plan, index, m.SURVIVORS, self._survivors, signature)

    def _reveal(self) -> bytes:
        """One secret's share of each holder: the self-mask's of who survived, the mask key's of who dropped out."""
        survivors = m.entries(memoryview(self._survivors), 0, m.NAMES[m.SURVIVORS])
        shown = {}
        for index, both in (self._inbox | self._own_shares).items():
            if index in survivors:
                shown[index] = bytes([m.SELF_SEED]) + both[: shamir.SHARE_BYTES]
            else:
                shown[index] = bytes([m.MASK_KEY]) + both[shamir.SHARE_BYTES :]
        reply = m.write(self.plan, m.REVEAL, self.index, m.listing(shown))
        self._forget()
        return reply

    def _forget(self) -> None:
        """No secret is left, so nothing more can be asked."""
        self._due = ()
        self._share_key = self._mask_key = self._self_secret = self._survivors = b""
        self._publics, self._own_shares, self._inbox = {}, {}, {}
        self._last_answer = b""
        self._answered = self._answered or b"\0"

    def _others(self, which: int) -> dict[int, bytes]:
        """The others' public keys: 0 for shares, 1 for masks."""
        part = slice(m.KEY_BYTES * which, m.KEY_BYTES * (which + 1))
        return {index: keys[part] for index, keys in self._publics.items() if index != self.index}

    def _check_set(self, found: Any, allowed: tuple[int, ...], what: str, *, itself: bool = True) -> None:
        stranger = next(iter(set(found) - set(allowed)), None)
        if stranger is not None:
            raise ProtocolAbort(f"the server's {what} has client {stranger}, who is not due there; ended")
        if itself and self.index not in found:
            raise ProtocolAbort(f"the server's {what} leaves out {self.name!r}, to whom it is sent; ended")
        if len(found) < self.plan.need:
            raise ProtocolAbort(
                f"the server's {what} has {len(found)} clients and {self.plan.need} are needed: a sum of fewer is not"
                " made; ended"
            )

    def to_bytes(self) -> bytes:
        """The state, secret, for a process that ends between messages; to be taken up once, and replaced after each
        answer: two clients of one state could be asked for both secrets. Not the last answer."""
        state: dict[str, Any] = {"version": 1, "plan": self.plan.digest.hex(), "name": self.name}
        state["due"] = list(self._due)
        state |= {name: getattr(self, name).hex() for name in _BYTES}
        state |= {name: {str(i): v.hex() for i, v in getattr(self, name).items()} for name in _LISTS}
        return json.dumps(state).encode()

    @classmethod
    def from_bytes(cls, plan: Plan, data: bytes, *, identity: Ed25519PrivateKey | None = None) -> MaskClient:
        """Of `to_bytes`, with the same plan. CorruptData for anything else."""
        try:
            state = json.loads(data)
            if state["version"] != 1 or state["plan"] != plan.digest.hex():
                raise CorruptData("the state of a client is of another plan or version")
            client = cls(plan, state["name"], identity=identity)
            client._due = tuple(int(kind) for kind in state["due"])
            for name in _BYTES:
                setattr(client, name, bytes.fromhex(state[name]))
            for name in _LISTS:
                setattr(client, name, {int(i): bytes.fromhex(v) for i, v in state[name].items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptData(f"the state of a client cannot be read: {error}") from None
        return client
