# SPDX-License-Identifier: Apache-2.0
"""Threshold CKKS over channels with an aggregator that does not add up what it got: nobody answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis.ckks import CkksArray, threshold
from crypsis.errors import CrypsisError, ProtocolAbort
from crypsis.mpc.sharing import threshold_ckks, threshold_frames
from sharing.test_threshold_ckks import run
from threshold_cases import joint, shares

N_VALUES = 2000
WHOLE = slice(0, N_VALUES)
NAMES = ("north", "south", "east")
Sums = dict[str, tuple[CkksArray, bytes]]
"""By party, the sum and proof that it is told."""


class Aggregator:
    """Takes the summands of one block; what it says that they are together is up to `cheat`."""

    def __init__(self, cheat: Callable[[Aggregator], Sums], number: int = 1) -> None:
        self.cheat = cheat
        self.deal = joint().agreement
        self.head = threshold_frames.Head(self.deal, number, N_VALUES, False)
        self.arrays: dict[str, CkksArray] = {}
        self.vouchers: dict[str, bytes] = {}
        self.answers: list[str] = []

    def __call__(self, channels: dict[str, Any]) -> None:
        for name, channel in channels.items():
            body = self.head.read(channel.recv(0), threshold_frames.SUMMAND, 0, name)
            voucher, body = threshold_frames.split(body, threshold.voucher_bytes(self.deal))
            self.vouchers[name] = voucher
            self.arrays[name] = threshold_frames.read_array(joint(), body, WHOLE)
        told = self.cheat(self)
        for name, (total, proof) in told.items():
            channels[name].send(0, self.head.write(threshold_frames.TOTAL, 0, proof, total.to_bytes()))
        for name in told:
            try:
                channels[name].recv(0)
                self.answers.append(name)
            except CrypsisError:
                pass
        raise ProtocolAbort("the aggregator has seen enough")

    def total(self, **others: CkksArray) -> CkksArray:
        known = {**self.arrays, **others}
        return known["north"] + known["south"] + known["east"]

    def proof(self, **others: bytes) -> bytes:
        return threshold.add_vouchers(self.deal, {**self.vouchers, **others})

    def all(self, total: CkksArray, proof: bytes | None = None) -> Sums:
        return dict.fromkeys(NAMES, (total, self.proof() if proof is None else proof))


def cheated(aggregator: Aggregator) -> dict[str, Any]:
    values = np.linspace(-1, 1, N_VALUES)
    results, _, far = run(
        NAMES,
        aggregator,
        lambda name, channel: threshold_ckks.contribute(channel, shares()[name], values, run=1, reveal=False),
    )
    sent = {name: len(far[name].sent) for name in NAMES}
    assert sorted(aggregator.answers) == sorted(name for name in NAMES if sent[name] == 2)
    return results


def third(array: CkksArray) -> CkksArray:
    """(0, q / 3): the answer would be the share of the secret."""
    product = 1
    for q in array.parameters.moduli.primes:
        product *= q
    data = np.zeros_like(array.data)
    for i, q in enumerate(array.parameters.moduli.primes):
        data[:, 1, i] = (product // 3) % q
    return array.replaced(data)


CHEATS: dict[str, Callable[[Aggregator], Sums]] = {
    "made up": lambda it: it.all(third(it.total())),
    "made up, added": lambda it: it.all(it.total() + third(it.total())),
    "one summand": lambda it: it.all(it.arrays["south"]),
    "one dropped": lambda it: it.all(it.arrays["north"] + it.arrays["south"]),
    "one doubled": lambda it: it.all(it.total() + it.arrays["south"]),
    "one in place of another": lambda it: it.all(it.total(east=it.arrays["north"])),
    "and its voucher": lambda it: it.all(
        it.total(east=it.arrays["north"]), it.proof(east=it.vouchers["north"])
    ),
    "own encryption in place of another": lambda it: it.all(
        it.total(east=joint().encrypt(np.zeros(N_VALUES), packed=True))
    ),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_nobody_answers(cheat: str) -> None:
    aggregator = Aggregator(CHEATS[cheat])
    before = {name: shares()[name].answered for name in NAMES}
    results = cheated(aggregator)
    assert aggregator.answers == []
    assert {name: shares()[name].answered for name in NAMES} == before
    for name in NAMES:
        assert isinstance(results[name], CrypsisError)
    with pytest.raises(ProtocolAbort, match="not the sum of what all 3 parties vouched for"):
        raise results["north"]


def test_honest_one_is_answered() -> None:
    """The same aggregator, when it adds up."""
    aggregator = Aggregator(lambda it: it.all(it.total()))
    cheated(aggregator)
    assert sorted(aggregator.answers) == sorted(NAMES)


def test_different_sums_to_different_parties() -> None:
    """Who is told the right one answers; the others do not, and n - 1 answers decrypt nothing."""
    aggregator = Aggregator(
        lambda it: {
            "north": (it.total(), it.proof()),
            "south": (it.total() + it.arrays["north"], it.proof()),
            "east": (it.total(north=it.arrays["south"]), it.proof(north=it.vouchers["south"])),
        }
    )
    cheated(aggregator)
    assert aggregator.answers == ["north"]


def test_old_run() -> None:
    """What parties sent in a run that was ended, shown again in the next one, of the same number."""
    first = Aggregator(lambda it: {})
    cheated(first)
    whole = Aggregator(lambda it: it.all(first.total(), first.proof()))
    results = cheated(whole)
    assert whole.answers == []
    with pytest.raises(ProtocolAbort, match="not have the last voucher that 'north' gave"):
        raise results["north"]
    # East's old summand and voucher among new ones: east does not answer.
    mixed = Aggregator(
        lambda it: it.all(it.total(east=first.arrays["east"]), it.proof(east=first.vouchers["east"]))
    )
    cheated(mixed)
    assert "east" not in mixed.answers
    # And without its voucher nobody does.
    wrong = Aggregator(lambda it: it.all(it.total(east=first.arrays["east"])))
    cheated(wrong)
    assert wrong.answers == []
