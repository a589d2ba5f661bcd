# SPDX-License-Identifier: Apache-2.0
"""Sums of many parties' numbers that only all of them together decrypt: threshold CKKS in a star [AJL+12, MTBH21].

n parties P_i hold a share of a key each (`crypsis.ckks.threshold`); an aggregator, who holds none, has a channel to
each, relays key generation, adds up ciphertexts and combines decryption shares.

    make_key <-> join_key, once a key: every message of a P_i goes to all others
    P_i -> all    H(r_i)                          78 bytes    commitment to 32 random bytes
    P_i -> all    r_i                             78          a = expand(H(r_1, ..., r_n)); r_i is an X25519 public key
    P_i -> all    H(nonce, b_i)                   78          b_i = e_i - a s_i
    P_i -> all    nonce, b_i                      N ceil(log2 q / 8), summed over the moduli, and 78
    P_1 -> all    K, sealed for each              48 (n - 1)  with its b_1: the key for vouchers, which A does not get
    all           public key (sum b_i, a)

    aggregate <-> contribute, for each block of numbers
    P_i -> A      c_i = Enc(x_i), t_i             2 polynomials for N numbers (JOINT: 30 bytes a number), 64 bytes
    A -> all      c = sum c_i, sum t_i            the same, 48 + 16 n bytes
    P_i -> A      c1 s_i + f_i                    1 polynomial (15 bytes a number), with noise f_i, if sum t_i fits c
    A             x = c0 + sum (c1 s_i + f_i)
    A -> all      x                               8 bytes a number, with reveal=True

The t_i are vouchers (`crypsis._ckks.threshold.vouchers`, with the argument): a P_i answers the sum of one summand of
every party, as they made them, and nothing else. An aggregator that makes up a ciphertext, tells parties different
sums, sends an old one, leaves out, doubles or exchanges summands gets no answer to it, but with probability 2^-64.

Assumes   semi-honest parties, and either an aggregator that is semi-honest too, then any set without at least one P_i
          may pool what it sees: they learn x and what follows from it; or one that does whatever it likes, then no
          party may give it its keys or deviate for it: it could then have answers to made-up ciphertexts, which are
          the parties' shares of the key. Ring learning with errors, SHA-256 and SHAKE-256 as random oracles, X25519,
          noise for a statistical distance of 2^-40 over all sums of a key. The aggregator is the only link in key
          generation: one that replaces what it relays is found out by comparing `JointKey.fingerprint` over another
          way, before the first sum; until then it is trusted not to. What it says that x is, with reveal, is its word.
Leaks     x with its noise, to the aggregator and, with reveal, to all; the number of numbers.
Rounds    key generation 4, then one for each of the two ways of a block of about 4 MiB.
Fails     for everyone if one party is missing or sends what does not fit: the error names the party.
Memory    of the aggregator: the sum and one message of a block, whatever n; of a party: two blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crypsis.ckks import CkksArray, threshold
from crypsis.errors import ProtocolAbort
from crypsis.mpc.sharing import threshold_frames as frames
from crypsis.mpc.sharing.star import Star, from_party, receive
from crypsis.mpc.sharing.threshold_frames import Values
from crypsis.mpc.transport import Channel

ASSUMES = (
    "semi-honest parties, of which all but one may pool what they see; a semi-honest aggregator that they may pool it"
    " with, or a malicious one that none of them helps; fingerprints of the key compared; ring learning with errors;"
    " SHA-256 and SHAKE-256 as random oracles; X25519; statistical security 40 bits over all sums of a key"
)


def make_key(
    channels: Mapping[str, Channel], agreement: threshold.Agreement, *, stream: int = 0
) -> threshold.JointKey:
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


def join_key(
    channel: Channel, agreement: threshold.Agreement, party: str, *, stream: int = 0
) -> threshold.KeyShare:
    """A party's side of key generation: its share of the key, secret. Raises as `make_key`."""
    maker = threshold.KeyMaker(agreement, party)
    try:
        message = maker.seed_commitment()
        for answer in (maker.seed, maker.key_commitment, maker.key_part):
            channel.send(stream, message)
            message = answer(frames.bundle(receive(channel, stream, channel.peer), agreement))
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
    head = frames.Head(agreement, run, n_values, reveal)
    star = Star(channels, agreement.parties, stream)
    result = np.empty(n_values)
    with star.ending_together():
        for block, part in enumerate(frames.blocks(agreement, n_values)):
            total: CkksArray | None = None
            vouchers: dict[str, bytes] = {}
            for party in star.parties:
                message = star.receive(party)
                with from_party(party, "summand"):
                    body = head.read(message, frames.SUMMAND, block, party)
                    vouchers[party], body = frames.split(body, threshold.voucher_bytes(agreement))
                    array = frames.read_array(joint, body, part)
                total = array if total is None else total + array
            if total is None:  # an agreement has two parties at least
                raise ProtocolAbort("no party contributed: there is nothing to add up")
            proof = threshold.add_vouchers(agreement, vouchers)
            star.send_all(head.write(frames.TOTAL, block, proof, total.to_bytes()))
            combiner = threshold.Combiner(joint, total)
            for party in star.parties:
                message = star.receive(party)
                with from_party(party, "decryption share"):
                    body = head.read(message, frames.SHARE, block, party)
                    combiner.add(threshold.DecryptionShare.from_bytes(body, joint, party=party))
            result[part] = combiner.result()
            if reveal:
                star.send_all(head.write(frames.RESULT, block, result[part].astype("<f8").tobytes()))
    return result


def contribute(
    channel: Channel,
    share: threshold.KeyShare,
    values: Any,
    *,
    run: int,
    reveal: bool = True,
    stream: int = 0,
) -> Values | None:
    """A party's side: encrypts its numbers, answers the sum of those of all and nothing else; gives the result,
    float64[n], or None without reveal.

    values: n real numbers up to the agreement's magnitude. ValueError for others, before anything is sent. run, reveal:
    as `aggregate`. BudgetError, before anything is sent, where the share has not enough answers left, or its file did
    not count as many ahead (`share.save(..., reserve=...)`).
    """
    joint, agreement = share.joint, share.agreement
    numbers = frames.as_numbers(values, agreement)
    head = frames.Head(agreement, run, len(numbers), reveal)
    share.check_budget(
        sum(frames.rows_of(agreement, part) for part in frames.blocks(agreement, len(numbers)))
    )
    result = np.empty(len(numbers)) if reveal else None
    aggregator = channel.peer
    try:
        for block, part in enumerate(frames.blocks(agreement, len(numbers))):
            own = joint.encrypt(numbers[part], packed=True)
            context = head.context(block)
            voucher = share.vouch(own, context)
            channel.send(stream, head.write(frames.SUMMAND, block, voucher, own.to_bytes()))
            message = receive(channel, stream, aggregator)
            with from_party(aggregator, "sum"):
                body = head.read(message, frames.TOTAL, block, aggregator)
                proof, body = frames.split(body, threshold.proof_bytes(agreement))
                total = frames.read_array(joint, body, part)
            answer = share.answer(total, proof, context)
            channel.send(stream, head.write(frames.SHARE, block, answer.to_bytes()))
            if result is not None:
                message = receive(channel, stream, aggregator)
                with from_party(aggregator, "result"):
                    body = head.read(message, frames.RESULT, block, aggregator)
                    result[part] = frames.read_result(body, part)
        return result
    except BaseException as error:
        channel.abort(f"{type(error).__name__} at party {share.party!r}; see its own log")
        raise


def report(joint: threshold.JointKey, n_values: int, *, reveal: bool = True) -> dict[str, Any]:
    """What a run of `aggregate` was, for its record, as JSON values: who, how exact, at what price, and what it
    assumed and disclosed. No secrets."""
    agreement = joint.agreement
    traffic = frames.sum_traffic(agreement, n_values, reveal=reveal)
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
