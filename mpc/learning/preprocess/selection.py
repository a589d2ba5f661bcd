# SPDX-License-Identifier: Apache-2.0
"""`FeatureSelector`: which columns of all parties a model is trained on, by IV, correlation and VIF.

The guest decides, in this order: columns whose IV is outside `iv_range` go; then, from the highest IV down, those that
correlate with one kept before beyond `correlation`; then, as long as the largest VIF is above `vif`, the column
that has it. It tells each host which of its columns stay.

Leaks: guest: what IV (`WoeEncoder`) and correlations (`joint_correlation`) tell it. A host: which of its columns stay,
nothing of other parties' columns. Semi-honest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from crypsis.errors import ConfigError, DataError, ProtocolAbort
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.preprocess.correlation import Correlation, correlation, joint_correlation
from crypsis.mpc.learning.preprocess.fitted import Fitted, name_tuple
from crypsis.mpc.learning.preprocess.woe import WoeEncoder
from crypsis.mpc.learning.session import Session


def select_by_iv(iv: Mapping[str, float], low: float = 0.02, high: float = math.inf) -> list[str]:
    """Names with low <= IV <= high, the highest first, of equal ones the first. (Customary: below 0.02 useless, above
    0.5 too good to be true [Siddiqi 2006].)"""
    return sorted((name for name in iv if low <= iv[name] <= high), key=lambda name: -iv[name])


def prune_correlated(names: Sequence[str], found: Correlation, limit: float) -> list[str]:
    """`names`, best first, without those that correlate beyond +-limit with one kept before."""
    kept: list[str] = []
    for name in names:
        if all(abs(found.between(name, other)) <= limit for other in kept):
            kept.append(name)
    return kept


def prune_by_vif(names: Sequence[str], found: Correlation, limit: float) -> list[str]:
    """`names`, best first, less the one with the largest VIF, of equal ones the last, until none is above `limit`."""
    kept = list(names)
    while len(kept) > 1:
        vif = found.of(kept).vif()
        worst = max(reversed(kept), key=lambda name: vif[name])
        if vif[worst] <= limit:
            break
        kept.remove(worst)
    return kept


class FeatureSelector(Fitted):
    """Fits with a fitted `WoeEncoder`, for IV, and the columns as the model will see them, for correlation and VIF.

    iv_range         (lowest, highest) IV that stays; the highest may be infinite
    correlation      largest |r| of two columns that stay, above 0 to 1, or None
    vif              largest VIF that stays, 1 or more, or None
    precision_bits   of `joint_correlation`
    With `correlation` or `vif` and a session there is exactly one host.

    After `fit`: `kept_`, names of one's own columns that stay, in the table's order; at the guest `dropped_`, a reason
    by name of the others, and `peer_kept_`, "HOST:ALIAS" of the hosts' columns that stay; `correlation_` as far as
    it is known here.
    """

    kind = "feature-selector"

    def __init__(
        self,
        *,
        iv_range: Sequence[float] = (0.02, math.inf),
        correlation: float | None = 0.8,
        vif: float | None = 10.0,
        precision_bits: int = 12,
    ) -> None:
        low, high = (float(v) for v in iv_range)
        if not 0 <= low <= high:
            raise ValueError(f"iv_range is {iv_range!r}: give (lowest, highest), from 0")
        if correlation is not None and not 0 < correlation <= 1:
            raise ValueError(f"correlation is {correlation!r}: give a limit above 0 to 1, or None")
        if vif is not None and not vif >= 1:
            raise ValueError(f"vif is {vif!r}: give a limit of 1 or more, or None")
        self.iv_range = (low, high)
        self.correlation = correlation
        self.vif = vif
        self.precision_bits = precision_bits

    def fit(self, frame: Frame, encoder: WoeEncoder, *, session: Session | None = None) -> Self:
        """frame: one's own columns as the model will see them, of WOE or scaled: those that the encoder was fitted to.

        ConfigError for parameters that differ; DataError where the frame's columns are not the encoder's, or none stays
        anywhere; what `joint_correlation` raises.
        """
        if set(encoder.aliases_.values() or encoder.iv_) != set(frame.names):
            raise DataError(
                "the columns are not those that the encoder was fitted to; give both the same table"
            )
        if session is None:
            self._decide(frame, encoder, None)
            return self
        with session.ending_together():
            session.agree(
                "selection",
                {
                    "iv_range": [str(v) for v in self.iv_range],
                    "correlation": self.correlation,
                    "vif": self.vif,
                    "precision_bits": self.precision_bits,
                },
            )
            if session.role == "guest":
                self._decide(frame, encoder, session)
            else:
                self._hear(frame, encoder, session)
        return self

    def _correlations(
        self, frame: Frame, encoder: WoeEncoder, session: Session | None
    ) -> tuple[Frame, Correlation | None]:
        """Of the columns that can have any: constant ones have none, and count as correlated with nothing."""
        if self.correlation is None and self.vif is None:
            return frame, None
        varied = [n for i, n in enumerate(frame.names) if len(frame) and np.ptp(frame.values[:, i]) != 0]
        rest = frame.select(varied)
        if session is None:
            return rest, correlation(rest)
        if not varied and session.role == "host":
            raise DataError(
                "every column has the same value in every row: nothing can be correlated; leave them out"
            )
        return rest, joint_correlation(
            rest, session, precision_bits=self.precision_bits, aliases=encoder.aliases_ or None
        )

    def _decide(self, frame: Frame, encoder: WoeEncoder, session: Session | None) -> None:
        if not encoder.iv_ and not encoder.peer_iv_:
            raise DataError("the encoder has no IV: fit it with labels first")
        _, found = self._correlations(frame, encoder, session)
        iv = {**encoder.iv_, **encoder.peer_iv_}
        low, high = self.iv_range
        kept = select_by_iv(iv, low, high)
        reasons = {name: f"IV {iv[name]:.4f}" for name in iv if name not in set(kept)}
        if found is not None:
            flat = [name for name in kept if name not in found.names]
            reasons |= dict.fromkeys(flat, "the same value in every row")
            kept = [name for name in kept if name not in flat]
        if found is not None and self.correlation is not None:
            rest = prune_correlated(kept, found, self.correlation)
            reasons |= {name: _partner(name, kept, rest, found) for name in kept if name not in rest}
            kept = rest
        if found is not None and self.vif is not None:
            rest = prune_by_vif(kept, found, self.vif)
            reasons |= {name: f"VIF above {self.vif:g}" for name in kept if name not in rest}
            kept = rest
        if not kept:
            raise DataError(f"no column stays (IV from {low:g} to {high:g}): widen the limits")
        self.kept_ = tuple(name for name in frame.names if name in kept)
        self.peer_kept_ = tuple(name for name in encoder.peer_iv_ if name in kept)
        self.dropped_ = reasons
        self.correlation_ = found
        if session is not None:
            for peer in session.peers:
                known = [name for name in encoder.peer_iv_ if name.startswith(f"{peer}:")]
                session.send_array(peer, np.array([name in kept for name in known], dtype=np.uint8))

    def _hear(self, frame: Frame, encoder: WoeEncoder, session: Session) -> None:
        if not encoder.aliases_:
            raise ConfigError("the encoder was not fitted with a session: fit it as a host first")
        _, found = self._correlations(frame, encoder, session)
        flags = session.receive_array(session.peer, np.uint8, (len(encoder.aliases_),))
        if flags.max(initial=0) > 1:
            raise ProtocolAbort(f"{session.peer} sent no choice of columns; ended")
        chosen = {name for name, flag in zip(encoder.aliases_.values(), flags, strict=True) if flag}
        self.kept_ = tuple(name for name in frame.names if name in chosen)
        self.peer_kept_ = ()
        self.dropped_ = {}
        self.correlation_ = found

    def transform(self, frame: Frame) -> Frame:
        """The columns that stay. DataError for one that is missing."""
        self._check_fitted()
        return frame.select(self.kept_)

    def _state(self) -> dict[str, Any]:
        return {"kept": list(self.kept_), "peer_kept": list(self.peer_kept_), "dropped": self.dropped_}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.kept_, self.peer_kept_ = name_tuple(state["kept"]), name_tuple(state["peer_kept"])
        self.dropped_ = {str(name): str(reason) for name, reason in state["dropped"].items()}
        self.correlation_ = None

    def to_dict(self) -> dict[str, Any]:
        """As of every step; an infinite bound is stored as text, which JSON has."""
        stored = super().to_dict()
        stored["params"]["iv_range"] = [str(v) for v in self.iv_range]
        return stored


def _partner(name: str, ranked: Sequence[str], kept: Sequence[str], found: Correlation) -> str:
    before = [other for other in ranked[: ranked.index(name)] if other in kept]
    other = max(before, key=lambda other: abs(found.between(name, other)))
    return f"correlation {found.between(name, other):.4f} with {other}"
