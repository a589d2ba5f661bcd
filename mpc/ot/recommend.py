# SPDX-License-Identifier: Apache-2.0
"""Which source of correlated OTs is fastest for a number of items on a given line, by a stated cost model.

    seconds = set-up + rounds * latency + max(items * seconds an item of the slower party, bits / bandwidth)

An item of SoftSpokenOT costs its AES blocks (2^k ceil(128 / k) / 128) at the kernel's rate, and a share for the
transpose, copies and, in the malicious form, the check; an item of Ferret a fixed time. `Rates` holds them: the
defaults were measured on one core at 2.2 GHz with VAES-512 (csrc/vole/NOTES.md, benchmarks/results); measure your own
where it matters. The parties work on machines of their own and at the same time, and sending overlaps computing.
Bandwidth is what the application gets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from crypsis import vole
from crypsis.mpc.ot import ferret, softspoken
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST, check_items

BASE_OT_BYTES = 96 * 128
"""Of `base` for 128 items, both directions."""


@dataclass(frozen=True)
class Rates:
    """What one core does; seconds and units a second."""

    aes_blocks: float = 0.70e9
    """AES blocks a second inside the small-field kernel."""
    softspoken_item: float = 1.5e-9
    """Seconds an item beside AES: transpose, copies, Python."""
    check_item: float = 2.5e-9
    """Seconds an item for the malicious check."""
    ferret_item: float = 20e-9
    """Seconds an item of Ferret, the slower party."""
    set_up: float = 0.05
    """Seconds for the base OTs and trees."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}: give a positive number")


@dataclass(frozen=True)
class Recommendation:
    """A choice and what it is expected to cost; `n_bytes` is the sum of both directions, set-up included."""

    protocol: str
    """"softspoken" or "ferret"."""
    k: int
    """SoftSpokenOT's parameter, of Ferret's base correlations too."""
    n_bytes: int
    rounds: int
    seconds: float


def recommend(
    n_items: int,
    bandwidth: float,
    latency: float,
    *,
    security: str = MALICIOUS,
    rates: Rates | None = None,
) -> Recommendation:
    """The fastest source for n_items random-choice correlations.

    bandwidth: bits a second. latency: seconds of a round trip. security: "semi-honest" or "malicious". Raises
    ValueError.
    """
    return options(n_items, bandwidth, latency, security=security, rates=rates)[0]


def options(
    n_items: int,
    bandwidth: float,
    latency: float,
    *,
    security: str = MALICIOUS,
    rates: Rates | None = None,
) -> list[Recommendation]:
    """Every choice, fastest first; where two are equally fast the one that sends less."""
    n_items = check_items(n_items)
    if not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth is {bandwidth}: give bits a second, above 0")
    if not 0 <= latency < math.inf:
        raise ValueError(f"latency is {latency}: give the seconds of a round trip, 0 or more")
    if security not in (SEMI_HONEST, MALICIOUS):
        raise ValueError(f"security is {security!r}: use {SEMI_HONEST!r} or {MALICIOUS!r}")
    rates = rates or Rates()
    found = []
    for k in range(1, vole.MAX_FIELD_BITS + 1):
        n_bytes = softspoken_bytes(n_items, k, security)
        compute = n_items * softspoken_seconds(k, security, rates)
        seconds = rates.set_up + latency + max(compute, 8 * n_bytes / bandwidth)
        found.append(Recommendation("softspoken", k, n_bytes, 1, seconds))
    n_bytes, rounds = ferret_cost(n_items, security)
    compute = n_items * rates.ferret_item
    seconds = rates.set_up + rounds * latency + max(compute, 8 * n_bytes / bandwidth)
    found.append(Recommendation("ferret", 8, n_bytes, rounds, seconds))
    return sorted(found, key=lambda option: (option.seconds, option.n_bytes))


def softspoken_bytes(n_items: int, k: int, security: str) -> int:
    """Exact bytes of a session of SoftSpokenOT with one call for n_items random choices."""
    set_up = BASE_OT_BYTES + softspoken.setup_message_bytes(k, security)
    return set_up + softspoken.extension_bytes(n_items, k, security)


def softspoken_seconds(k: int, security: str, rates: Rates) -> float:
    """Seconds an item of the slower party, the receiver."""
    blocks = sum(1 << depth for depth in vole.tree_depths(k)) / 128
    return blocks / rates.aes_blocks + rates.softspoken_item + rates.check_item * (security == MALICIOUS)


def ferret_cost(n_items: int, security: str) -> tuple[int, int]:
    """(bytes, rounds) of Ferret with the row that sends least: base correlations by SoftSpokenOT with k = 8, then as
    many rounds as needed. The bytes are exact."""
    costs = []
    for row in ferret.ROWS:
        base = softspoken_bytes(row.n_base(security), 8, security)
        n_rounds = -(-n_items // ferret.usable_outputs(row, security))
        n_bytes = base + sum(ferret.session_bytes(n_items, row, security))
        costs.append((n_bytes, 1 + n_rounds * (security == MALICIOUS)))
    return min(costs)
