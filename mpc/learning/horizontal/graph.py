# SPDX-License-Identifier: Apache-2.0
"""Who shares a mask with whom, when not everybody does with everybody [BBGLR20].

Each client has k neighbours, a random circulant graph: the clients in a random order on a ring, each joined with the
k/2 before and the k/2 after it. k grows with log n, so masks and shares are k a client instead of n - 1.
"""

from __future__ import annotations

import math

import numpy as np

from crypsis import aes, hashing
from crypsis.errors import ConfigError

STATISTICAL_BITS = 40
LOSS_BITS = 30


def circulant(n: int, degree: int, session: bytes) -> tuple[tuple[int, ...], ...]:
    """The neighbours of each of n clients and itself, ascending; the order on the ring is drawn from `session`."""
    seed = hashing.sha256(np.frombuffer(b"crypsis mask graph 1\0" + session, np.uint8).reshape(1, -1))
    tags = np.frombuffer(aes.Generator.from_seed(seed[0].copy()).bytes(16 * n), "<u8").reshape(n, 2)
    ring = [int(i) for i in np.lexsort((tags[:, 0], tags[:, 1]))]
    half = degree // 2
    holders: list[tuple[int, ...]] = [()] * n
    for place, client in enumerate(ring):
        holders[client] = tuple(sorted({ring[(place + step) % n] for step in range(-half, half + 1)}))
    return tuple(holders)


def degree(n: int, *, corrupt: float, dropped: float) -> tuple[int, int]:
    """(degree, threshold) for n clients of whom a share `corrupt` pools with the server and `dropped` drop out.

    The smallest even degree k, with a threshold t above half of the k + 1 holders, for which, over the random graph,

        some client has t or more corrupt neighbours, or the honest clients that stay are not connected (then parts
        of the sum would show): probability at most 2^-40;
        some client has fewer than t holders left, so that the sum is lost: at most 2^-30.

    These are the events of [BBGLR20, 3.4], bounded by unions of exact hypergeometric tails; a ring without some places
    falls apart only where k/2 successive ones are missing. ConfigError where no degree below n - 1 does: use
    all pairs (degree None) then, as for a few hundred clients.
    """
    if not 0 <= corrupt < 1 or not 0 <= dropped < 1 or corrupt + dropped >= 1:
        raise ConfigError(
            f"corrupt {corrupt} and dropped {dropped} are not parts of the clients: give 0 to 1"
        )
    bad, gone = math.ceil(corrupt * n), math.ceil(dropped * n)
    for k in range(4, n - 1, 2):
        if _log2_apart(n, bad + gone, k // 2) > -STATISTICAL_BITS - 1:
            continue
        for t in range((k + 1) // 2 + 1, k + 2):
            if _log2_tail(n - 1, bad, k, t) + math.log2(n) > -STATISTICAL_BITS - 1:
                continue
            # A client that is gone does not answer with its own share: t of k neighbours must.
            if _log2_tail(n - 1, gone, k, k - t + 1) + math.log2(n) <= -LOSS_BITS:
                return k, t
            break
    raise ConfigError(
        f"no graph of {n} clients stands {corrupt:.0%} corrupt and {dropped:.0%} dropped ones: leave degree out"
    )


def _log2_tail(population: int, marked: int, draws: int, least: int) -> float:
    """log2 P[at least `least` of `draws` without replacement are marked]."""
    total = sum(
        math.comb(marked, hit) * math.comb(population - marked, draws - hit)
        for hit in range(least, min(draws, marked) + 1)
    )
    if total == 0:
        return -math.inf
    return _log2(total) - _log2(math.comb(population, draws))


def _log2_apart(n: int, missing: int, run: int) -> float:
    """log2 of n P[`run` given places are all missing]."""
    if run > missing:
        return -math.inf
    return math.log2(n) + _log2(math.comb(n - run, missing - run)) - _log2(math.comb(n, missing))


def _log2(number: int) -> float:
    bits = number.bit_length()
    return bits - 53 + math.log2(number >> (bits - 53)) if bits > 53 else math.log2(number)
