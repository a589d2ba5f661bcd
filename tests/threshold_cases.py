# SPDX-License-Identifier: Apache-2.0
"""Agreements and joint keys that the tests of threshold CKKS share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from crypsis import ckks
from crypsis.ckks import threshold

SMALL = ckks.Literal(10, (40, 40, 40), (), 100)
"""Insecure: JOINT's moduli with an eighth of its degree."""
NAMES = ("north", "south", "east", "west", "centre")


def agreement(
    n_parties: int = 3,
    *,
    literal: ckks.Literal = SMALL,
    n_summands: int = 8,
    n_ciphertexts: int = 1 << 16,
    magnitude: float = 4.0,
    session: bytes = b"the tests' session",
) -> threshold.Agreement:
    return threshold.Agreement(
        ckks.Parameters.of(literal, insecure_allow_weak=True),
        NAMES[:n_parties],
        session=session,
        n_summands=n_summands,
        n_ciphertexts=n_ciphertexts,
        magnitude=magnitude,
    )


def seed(party: str) -> bytes:
    return party.encode().ljust(32, b".")


def makers(deal: threshold.Agreement, seeded: bool = True) -> dict[str, threshold.KeyMaker]:
    return {p: threshold.KeyMaker(deal, p, seed=seed(p) if seeded else None) for p in deal.parties}


def run_rounds(parties: dict[str, Any], n_rounds: int = 4) -> list[dict[str, bytes]]:
    """The messages of the first rounds, by party."""
    rounds = [{p: maker.seed_commitment() for p, maker in parties.items()}]
    for name in ("seed", "key_commitment", "key_part")[: n_rounds - 1]:
        rounds.append({p: getattr(maker, name)(rounds[-1]) for p, maker in parties.items()})
    return rounds


def finish(parties: dict[str, Any], parts: dict[str, bytes]) -> dict[str, threshold.KeyShare]:
    for maker in parties.values():
        for party, part in parts.items():
            maker.transcript.key_part(party, part)
    return {party: maker.finish() for party, maker in parties.items()}


def make_shares(deal: threshold.Agreement, seeded: bool = True) -> dict[str, threshold.KeyShare]:
    parties = makers(deal, seeded)
    return finish(parties, run_rounds(parties)[-1])


@cache
def shares(n_parties: int = 3, literal: ckks.Literal = SMALL) -> dict[str, threshold.KeyShare]:
    """Of parties with known seeds. They count what they answer: for tests with few ciphertexts."""
    return make_shares(agreement(n_parties, literal=literal))


def joint(n_parties: int = 3, literal: ckks.Literal = SMALL) -> threshold.JointKey:
    return shares(n_parties, literal)["north"].joint


def answers(of: Iterable[threshold.KeyShare], array: ckks.CkksArray) -> list[threshold.DecryptionShare]:
    return [share.share(array) for share in of]
