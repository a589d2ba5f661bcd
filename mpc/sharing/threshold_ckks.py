# SPDX-License-Identifier: Apache-2.0
"""Sums of many parties' numbers that only all of them together decrypt: threshold CKKS in a star [AJL+12, MTBH21].

n parties P_i hold a share of a key each (`crypsis.ckks.threshold`); an aggregator, who holds none, has a channel to each,
relays key generation, adds up ciphertexts and combines decryption shares.

    make_key <-> join_key, once a key: every message of a P_i goes to all others
    P_i -> all    H(r_i)                          78 bytes    commitment to 32 random bytes
    P_i -> all    r_i                             78          a = expand(H(r_1, ..., r_n))
    P_i -> all    H(nonce, b_i)                   78          b_i = e_i - a s_i
    P_i -> all    nonce, b_i                      N ceil(log2 q / 8), summed over the moduli, and 78
    all           public key (sum b_i, a)

    aggregate <-> contribute, for each block of numbers
    P_i -> A      c_i = Enc(x_i)                  2 polynomials for N numbers (JOINT: 30 bytes a number)
    A -> all      c = sum c_i                     the same
    P_i -> A      c1 s_i + f_i                    1 polynomial (15 bytes a number), with noise f_i
    A             x = c0 + sum (c1 s_i + f_i)
    A -> all      x                               8 bytes a number, with reveal=True

Assumes   semi-honest parties and aggregator, of which any set without at least one P_i may pool what it sees: they
          learn x and what follows from it. Ring learning with errors, SHA-256 as a random oracle, noise for a
          statistical distance of 2^-40 over all sums of a key. Nobody but the aggregator sees single ciphertexts, so
          that it adds them all up is taken on trust (a P_i only notices its own ciphertext coming back as the sum);
          and in key generation it is the only link: an aggregator that replaces what it relays is found out by
          comparing `JointKey.fingerprint` over another way.
Leaks     x with its noise, to the aggregator and, with reveal, to all; the number of numbers.
Rounds    key generation 4, then one for each of the two ways of a block of about 4 MiB.
Fails     for everyone if one party is missing or sends what does not fit: the error names the party.
Memory    of the aggregator: the sum and one message of a block, whatever n; of a party: two blocks.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.ckks import CkksArray, threshold
from crypsis.errors import ProtocolAbort
from crypsis.mpc.sharing.star import Star, from_party, receive
from crypsis.mpc.transport import Channel

BLOCK_BYTES = 4 << 20
"""Of a block's ciphertexts, about."""
MAX_VALUES = 1 << 40
_MAGIC, _VERSION = b"CKTA", 1
_SUMMAND, _TOTAL, _SHARE, _RESULT = range(1, 5)
_NAMES = {_SUMMAND: "summand", _TOTAL: "sum", _SHARE: "decryption share", _RESULT: "result"}
_FRAME = struct.Struct("<4sHBBQQQ32s")
"""Magic, version, kind, flags (1: reveal), run, number of values, block, digest of the agreement."""
_SMALL = 78
"""Bytes of a message of key generation but for the key part."""

ASSUMES = (
    "semi-honest parties and aggregator, of which all but one party may pool what they see; ring learning with errors;"
    " SHA-256 as a random oracle; statistical security 40 bits over all sums of a key"
)

Values = npt.NDArray[np.float64]


def make_key(channels: Mapping[str, Channel], agreement: threshold.Agreement, *, stream: int = 0) -> threshold.JointKey:
    """The aggregator's side of key generation. channels: one to every party of the agreement, by its name.

    Raises ProtocolAbort naming the party whose message does not fit, ChannelError naming the one that is gone; the
    channels to all parties are then ended.
    """
    transcript = threshold.Transcript(agreement)
    star = Star(channels, agreement.parties, stream)
    with star.ending_together():
        for check in (transcript.seed_commitments, transcript.seeds, transcript.key_commitments):
            received = {party: star.receive(party) for party in star.parties}
            check(received)
            star.send_all(b"".join(received[party] for party in star.parties))
        for party in star.parties:  # one part in memory at a time
            part = star.receive(party)
            transcript.key_part(party, part)
            star.send_all(part)
        return transcript.joint_key()


def join_key(channel: Channel, agreement: threshold.Agreement, party: str, *, stream: int = 0) -> threshold.KeyShare:
    """A party's side of key generation: its share of the key, secret. Raises as `make_key`."""
    maker = threshold.KeyMaker(agreement, party)
    try:
        message = maker.seed_commitment()
        for answer in (maker.seed, maker.key_commitment, maker.key_part):
            channel.send(stream, message)
            message = answer(_bundle(receive(channel, stream, channel.peer), agreement))
        channel.send(stream, message)
        for name in agreement.parties:
            maker.transcript.key_part(name, receive(channel, stream, channel.peer))
        return maker.finish()
    except BaseException as error:
        channel.abort(f"{type(error).__name__} at party {party!r}; see its own log")
        raise


def aggregate(
    channels: Mapping[str, Channel],
    joint: threshold.JointKey,
    n_values: int,
    *,
    run: int,
    reveal: bool = True,
    stream: int = 0,
) -> Values:
    """The aggregator's side: float64[n_values], the sum of what all parties contribute, off by `agreement.error`.

    run: a number that this key was not used with, the same at all parties. reveal: all parties get the result too.
    Raises ProtocolAbort naming the party whose message does not fit, ChannelError naming the one that is gone; the
    channels to all parties are then ended.
    """
    agreement = joint.agreement
    head = _Head(agreement, run, n_values, reveal)
    star = Star(channels, agreement.parties, stream)
    result = np.empty(n_values)
    with star.ending_together():
        for block, part in enumerate(_blocks(agreement, n_values)):
            total: CkksArray | None = None
            for party in star.parties:
                message = star.receive(party)
                with from_party(party, "summand"):
                    body = head.read(message, _SUMMAND, block, party)
                    array = _array(joint, body, part)
                total = array if total is None else total + array
            if total is None:  # an agreement has two parties at least
                raise ProtocolAbort("no party contributed: there is nothing to add up")
            star.send_all(head.write(_TOTAL, block, total.to_bytes()))
            combiner = threshold.Combiner(joint, total)
            for party in star.parties:
                message = star.receive(party)
                with from_party(party, "decryption share"):
                    body = head.read(message, _SHARE, block, party)
                    combiner.add(threshold.DecryptionShare.from_bytes(body, joint, party=party))
            result[part] = combiner.result()
            if reveal:
                star.send_all(head.write(_RESULT, block, result[part].astype("<f8").tobytes()))
    return result


def contribute(
    channel: Channel, share: threshold.KeyShare, values: Any, *, run: int, reveal: bool = True, stream: int = 0
) -> Values | None:
    """A party's side: encrypts its numbers, answers the sum; gives the result, float64[n], or None without reveal.

    values: n real numbers up to the agreement's magnitude. ValueError for others, before anything is sent. run, reveal:
    as `aggregate`. BudgetError, before anything is sent, where the share has not enough answers left.
    """
    joint, agreement = share.joint, share.agreement
    numbers = _numbers(values, agreement)
    head = _Head(agreement, run, len(numbers), reveal)
    share.check_budget(sum(_rows(agreement, part) for part in _blocks(agreement, len(numbers))))
    result = np.empty(len(numbers)) if reveal else None
    aggregator = channel.peer
    try:
        for block, part in enumerate(_blocks(agreement, len(numbers))):
            own = joint.encrypt(numbers[part], packed=True)
            channel.send(stream, head.write(_SUMMAND, block, own.to_bytes()))
            message = receive(channel, stream, aggregator)
            with from_party(aggregator, "sum"):
                body = head.read(message, _TOTAL, block, aggregator)
                total = _array(joint, body, part)
                if np.array_equal(total.data, own.data):
                    raise ProtocolAbort(
                        f"{aggregator!r} sent back the summand of {share.party!r} as the sum: it is not decrypted; ended"
                    )
            answer = share.share(total, shape=own.shape)
            channel.send(stream, head.write(_SHARE, block, answer.to_bytes()))
            if result is not None:
                message = receive(channel, stream, aggregator)
                with from_party(aggregator, "result"):
                    body = head.read(message, _RESULT, block, aggregator)
                    result[part] = _result(body, part)
        return result
    except BaseException as error:
        channel.abort(f"{type(error).__name__} at party {share.party!r}; see its own log")
        raise


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Payload bytes and messages of one party, as its channel counts them; the aggregator has those of all parties."""

    bytes_sent: int
    bytes_received: int
    messages_sent: int
    messages_received: int


def key_traffic(agreement: threshold.Agreement) -> Traffic:
    """What a party sends and receives in `join_key`."""
    n_parties, part = len(agreement.parties), _SMALL + _polynomials(agreement, 1)
    return Traffic(
        bytes_sent=3 * _SMALL + part,
        bytes_received=n_parties * (3 * _SMALL + part),
        messages_sent=4,
        messages_received=3 + n_parties,
    )


def sum_traffic(agreement: threshold.Agreement, n_values: int, *, reveal: bool = True) -> Traffic:
    """What a party sends and receives in `contribute`."""
    sent = received = n_blocks = 0
    literal = len(agreement.parameters.prefix)
    for part in _blocks(agreement, n_values):
        rows = _rows(agreement, part)
        array = 88 + literal + 16 + 4 + _polynomials(agreement, 2 * rows)
        sent += 2 * _FRAME.size + array + _SMALL + 4 + _polynomials(agreement, rows)
        received += _FRAME.size + array + reveal * (_FRAME.size + 8 * (part.stop - part.start))
        n_blocks += 1
    return Traffic(
        bytes_sent=sent,
        bytes_received=received,
        messages_sent=2 * n_blocks,
        messages_received=(1 + reveal) * n_blocks,
    )


def report(joint: threshold.JointKey, n_values: int, *, reveal: bool = True) -> dict[str, Any]:
    """What a run of `aggregate` was, for its record, as JSON values: who, how exact, at what price, and what it
    assumed and disclosed. No secrets."""
    agreement = joint.agreement
    traffic = sum_traffic(agreement, n_values, reveal=reveal)
    return {
        "protocol": "threshold-ckks",
        "parties": list(agreement.parties),
        "agreement": agreement.digest.hex(),
        "key": joint.id.hex(),
        "fingerprint": joint.fingerprint.hex(),
        "n_values": n_values,
        "error": agreement.error,
        "bytes_a_value": {
            "sent": traffic.bytes_sent / n_values,
            "received": traffic.bytes_received / n_values,
        },
        "security": {
            "assumes": ASSUMES,
            "statistical_bits": 40,
            "flood_bits": agreement.flood_bits,
            "n_ciphertexts": agreement.n_ciphertexts,
            "leaks": "the sum with its noise, to the aggregator" + (" and all parties" if reveal else ""),
        },
    }


class _Head:
    """The frame around the messages of one run."""

    def __init__(self, agreement: threshold.Agreement, run: int, n_values: int, reveal: bool) -> None:
        if isinstance(run, bool) or not isinstance(run, int) or not 0 <= run < 1 << 64:
            raise ValueError(f"run is {run!r}: give an int from 0 to 2^64 - 1 that this key was not used with")
        if isinstance(n_values, bool) or not isinstance(n_values, int) or not 1 <= n_values <= MAX_VALUES:
            raise ValueError(f"n_values is {n_values!r}: give an int from 1 to 2^40")
        if not isinstance(reveal, bool):
            raise TypeError(f"reveal is {type(reveal).__name__}: give True or False")
        if agreement.n_summands < len(agreement.parties):
            raise ValueError(
                f"the agreement has n_summands {agreement.n_summands} for {len(agreement.parties)} parties: make one"
                " with at least one summand a party"
            )
        self._digest = agreement.digest
        self._run, self._n_values, self._reveal = run, n_values, reveal

    def write(self, kind: int, block: int, body: bytes) -> bytes:
        head = _FRAME.pack(
            _MAGIC, _VERSION, kind, self._reveal, self._run, self._n_values, block, self._digest
        )
        return head + body

    def read(self, message: memoryview, kind: int, block: int, party: str) -> memoryview:
        """The body of the message that is due. ProtocolAbort, naming the sender, for another."""
        what = _NAMES[kind]
        if len(message) < _FRAME.size:
            raise ProtocolAbort(f"{party!r} sent {len(message)} bytes where a {what} was due; ended")
        magic, version, found, flags, run, n_values, at, digest = _FRAME.unpack_from(message)
        if magic != _MAGIC or found != kind:
            raise ProtocolAbort(f"{party!r} sent something else where a {what} was due; ended")
        mine = (_VERSION, self._digest, self._run, self._n_values, int(self._reveal), block)
        names = ("version", "agreement", "run", "n_values", "reveal", "block")
        for name, here, there in zip(names, mine, (version, digest, run, n_values, flags, at), strict=True):
            if here != there:
                shown = [x[:4].hex() if isinstance(x, bytes) else x for x in (here, there)]
                raise ProtocolAbort(
                    f"{name} is {shown[0]} here and {shown[1]} at {party!r}: all parties must have the same"
                )
        return message[_FRAME.size :]


def _bundle(message: memoryview, agreement: threshold.Agreement) -> dict[str, memoryview]:
    """The small messages of all parties, relayed as one."""
    due = _SMALL * len(agreement.parties)
    if len(message) != due:
        raise ProtocolAbort(
            f"the aggregator sent {len(message)} bytes of key generation where {due} were due; ended"
        )
    return {party: message[_SMALL * i : _SMALL * (i + 1)] for i, party in enumerate(agreement.parties)}


def _blocks(agreement: threshold.Agreement, n_values: int) -> Iterator[slice]:
    rows = max(1, BLOCK_BYTES // _polynomials(agreement, 2))
    step = rows * agreement.parameters.n
    for start in range(0, n_values, step):
        yield slice(start, min(start + step, n_values))


def _rows(agreement: threshold.Agreement, part: slice) -> int:
    return -(-(part.stop - part.start) // agreement.parameters.n)


def _polynomials(agreement: threshold.Agreement, count: int) -> int:
    primes = agreement.parameters.basis(agreement.level).primes
    return count * agreement.parameters.n * sum(-(-prime.bit_length() // 8) for prime in primes)


def _array(joint: threshold.JointKey, body: memoryview, part: slice) -> CkksArray:
    """The packed ciphertexts of a block."""
    agreement, size = joint.agreement, part.stop - part.start
    due = 88 + len(agreement.parameters.prefix) + 16 + 4 + _polynomials(agreement, 2 * _rows(agreement, part))
    if len(body) != due:
        raise ProtocolAbort(f"{len(body)} bytes of ciphertexts came where {due} were due; ended")
    array = joint.public_key.load(body)
    agreement.check(array, joint.id)
    if array.shape != (_rows(agreement, part),) or array.packing != (size,):
        raise ProtocolAbort(
            f"ciphertexts of shape {array.shape} with numbers of shape {array.packing} came where {size} numbers were"
            " due; ended"
        )
    return array


def _result(body: memoryview, part: slice) -> Values:
    if len(body) != 8 * (part.stop - part.start):
        raise ProtocolAbort(
            f"{len(body)} bytes of result came where {8 * (part.stop - part.start)} were due; ended"
        )
    numbers = np.frombuffer(body, "<f8")
    if not np.isfinite(numbers).all():
        raise ProtocolAbort("a number of the result is not finite; ended")
    return numbers.astype(np.float64)


def _numbers(values: Any, agreement: threshold.Agreement) -> Values:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"values are {array.dtype}: give real numbers")
    if array.ndim != 1 or not len(array):
        raise ValueError(f"values have shape {array.shape}: give one row of numbers, at least one")
    numbers = np.ascontiguousarray(array, np.float64)
    largest = max(float(numbers.max()), -float(numbers.min()))
    if not math.isfinite(largest) or largest > agreement.magnitude:
        raise ValueError(
            f"values go up to {largest:.4g}: the agreement is on finite numbers up to {agreement.magnitude:.4g}; scale"
            " them down"
        )
    return numbers
