# SPDX-License-Identifier: Apache-2.0
"""The cost model: exact bytes, sensible choices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from crypsis.mpc.ot import ferret
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST
from crypsis.mpc.ot.recommend import FERRET_BASE_K, Rates, ferret_cost, options, recommend, softspoken_bytes
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.transport import Channel, memory_pair

SLOW_FERRET = (1e-6,) * len(ferret.ROWS)


def test_fast_lines_want_little_work_and_slow_ones_few_bytes() -> None:
    chosen = [recommend(10**8, bandwidth, 0.001) for bandwidth in (1e6, 1e8, 1e9, 1e10, 1e12)]
    sizes = [choice.n_bytes for choice in chosen]
    assert sizes == sorted(sizes)
    assert chosen[0].protocol == "ferret"
    assert chosen[-1].protocol == "softspoken"
    assert chosen[-1].k in (2, 3)


def test_long_lines_want_few_rounds() -> None:
    assert recommend(2_000_000, 1e8, 0.0).protocol == "ferret"
    assert recommend(2_000_000, 1e8, 5.0).protocol == "softspoken"


def test_small_numbers_are_not_worth_a_set_up_of_ferret() -> None:
    assert recommend(1000, 1e8, 0.05).protocol == "softspoken"


@pytest.mark.parametrize("security", [SEMI_HONEST, MALICIOUS])
def test_every_option_is_there_and_ordered(security: str) -> None:
    found = options(10**6, 1e9, 0.01, security=security)
    assert len(found) == 12
    assert {x.parameters for x in found if x.protocol == "ferret"} == set(ferret.ROWS)
    assert [x.seconds for x in found] == sorted(x.seconds for x in found)
    assert {x.k for x in found if x.protocol == "softspoken"} == set(range(1, 9))
    for option in found:
        assert option.seconds > 0.05
        if option.protocol == "softspoken":
            assert option.n_bytes == softspoken_bytes(10**6, option.k, security)


@pytest.mark.parametrize("security", [SEMI_HONEST, MALICIOUS])
def test_ferrets_bytes_are_those_of_a_session(security: str) -> None:
    here, there = memory_pair()

    def sender(channel: Channel) -> None:
        base = SoftSpokenSender(
            channel, session=b"b", k=FERRET_BASE_K, security=security, delta=ferret.odd_delta()
        )
        for _ in ferret.FerretSender(channel, base, session=b"f").blocks(1000):
            pass

    def receiver(channel: Channel) -> None:
        base = SoftSpokenReceiver(channel, session=b"b", k=FERRET_BASE_K, security=security)
        for _ in ferret.FerretReceiver(channel, base, session=b"f").blocks(1000):
            pass

    with ThreadPoolExecutor() as pool:
        for party in [pool.submit(sender, here), pool.submit(receiver, there)]:
            party.result(timeout=300)
    counted = here.stats.payload_bytes_sent + there.stats.payload_bytes_sent
    assert counted == ferret_cost(1000, ferret.B10, security)[0]


def test_the_check_costs() -> None:
    plain, checked = (options(10**8, 1e12, 0, security=s)[0].seconds for s in (SEMI_HONEST, MALICIOUS))
    assert plain < checked


def test_faster_aes_allows_a_larger_k() -> None:
    slow = recommend(10**8, 2e9, 0, rates=Rates(aes_blocks=0.1e9, ferret_items=SLOW_FERRET))
    fast = recommend(10**8, 2e9, 0, rates=Rates(aes_blocks=10e9, ferret_items=SLOW_FERRET))
    assert slow.k < fast.k


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 1e9, 0.1), "n_items is 0"),
        ((-1, 1e9, 0.1), "n_items is -1"),
        ((5, 0, 0.1), "bandwidth is 0"),
        ((5, float("inf"), 0.1), "bandwidth is inf"),
        ((5, 1e9, -1), "latency is -1"),
        ((5, 1e9, float("nan")), "latency is nan"),
    ],
)
def test_refused(arguments: tuple, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        recommend(*arguments)


def test_refused_options() -> None:
    with pytest.raises(ValueError, match="security is 'covert'"):
        recommend(5, 1e9, 0, security="covert")
    with pytest.raises(ValueError, match="set_up is 0"):
        Rates(set_up=0)
    with pytest.raises(ValueError, match="ferret_items has 1 values: give 4"):
        Rates(ferret_items=(1e-9,))
    with pytest.raises(ValueError, match="ferret_items is"):
        Rates(ferret_items=(1e-9, 1e-9, -1.0, 1e-9))
