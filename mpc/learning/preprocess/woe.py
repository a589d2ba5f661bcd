# SPDX-License-Identifier: Apache-2.0
"""`WoeEncoder`: weight of evidence and information value [Siddiqi 2006], of one's own columns and, jointly, of hosts'.

For the bins of a column, with b_i rows of label 1 ("bad") and g_i of label 0 in bin i, B and G in all:

    WOE_i = ln (b_i / B) - ln (g_i / G)         IV = sum of (b_i / B - g_i / G) WOE_i

so that coefficients of a logistic regression on WOE are positive where a column helps. Missing values have a bin of
their own. A count of 0 beside one that is not 0 counts as `smoothing` rows (B and G stay). A bin without rows has
WOE 0 and adds nothing. Missing values with fewer than `min_events` rows of either label are weighed together with the
bin of the most rows: both have the WOE of both. (To leave out their WOE would not hide it: B and G follow from any
column, and theirs are what the other bins leave of them.)

Leaks, beyond the numbers of rows and columns:
 - guest: of each host column, under an alias: the fine bins (how many, whether they are ordered, rows of label 1 and
   rows in all of each); so, its IV and WOE. Not the edges. Which rows are in a bin only where the counts say so: all
   rows of one label in one bin, or a label of a single row.
 - host, reveal="woe": which of its fine bins go together, WOE of these and IV. With the rows of its bins, which it
   knows, that is the number of rows of label 1 in each, and in all: at least `min_events` of each label, but many
   columns together narrow down labels of single rows. reveal="iv": the IV of each column, to 3 decimals (all digits
   would tell the counts of a column of few bins). reveal="none": nothing.
 - either, of fits over tables that differ by few rows: what these rows change in the counts, so bins or labels of them.
 - who listens, beneath TLS: message sizes, so rows, columns and bins.
Hosts learn nothing of each other. Parties are taken to follow the protocol (semi-honest).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.learning.frame import Floats, Frame
from crypsis.mpc.learning.preprocess.binning import Binner, FeatureBins, Method, numbers_in
from crypsis.mpc.learning.preprocess.chimerge import CHI_SQUARE_95, checked_rules, merge_bins
from crypsis.mpc.learning.preprocess.compiled import Int16s, count_by_bin
from crypsis.mpc.learning.preprocess.fitted import Fitted, finite_list, read_categories, stored_categories
from crypsis.mpc.learning.preprocess.woe_protocol import (
    FIXED,
    ORDERED,
    UNORDERED,
    HostPart,
    Weighed,
    answer_guest,
    ask_hosts,
)
from crypsis.mpc.learning.session import Session

Reveal = Literal["woe", "iv", "none"]
Counts = npt.NDArray[np.int64]


def weights_of_evidence(
    counts: npt.ArrayLike,
    *,
    totals: tuple[int, int] | None = None,
    smoothing: float = 0.5,
    min_events: int = 0,
) -> tuple[Floats, float]:
    """(WOE of each bin, IV) of counts int64[bins, 2], rows of label 1 and of label 0; totals: theirs in all, by default
    the sums. ValueError where all rows have one label."""
    table = np.asarray(counts, dtype=np.int64)
    bad, good = totals if totals is not None else (int(table[:, 0].sum()), int(table[:, 1].sum()))
    if not bad or not good:
        raise ValueError("every row has the same label: there is no evidence to weigh")
    kept = (table.sum(axis=1) > 0) & (table.min(axis=1, initial=np.iinfo(np.int64).max) >= min_events)
    filled = np.where(table == 0, smoothing, table.astype(np.float64))
    shares = filled / np.array([bad, good])
    woe = np.where(kept, np.log(shares[:, 0]) - np.log(shares[:, 1]), 0.0)
    return woe, float(((shares[:, 0] - shares[:, 1]) * woe).sum())


def binary_labels(frame: Frame) -> npt.NDArray[np.bool_]:
    """The guest's labels as bool[rows]. DataError where there are none, others than 0 and 1, or only one of these."""
    if frame.labels is None:
        raise DataError("the guest's table has no labels: name their column")
    wrong = (frame.labels != 0) & (frame.labels != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"the label of row {row} is {frame.labels[row]:g}: weight of evidence needs 0 and 1")
    positive: npt.NDArray[np.bool_] = frame.labels == 1
    if positive.all() or not positive.any():
        raise DataError(f"every label is {int(positive.any())}: there is no evidence to weigh")
    return positive


class WoeEncoder(Fitted):
    """Cuts columns into fine bins, puts these together by ChiMerge, and replaces values by the WOE of their bin.

    method, n_fine, edges   how one's own columns are cut at first, as in `Binner`; bins of given `edges` are only put
                            together where `min_share` and `min_events` demand it
    threshold, max_bins, min_share, min_events, monotone   as in `merge_bins`; the same at all parties
    smoothing               rows that an empty cell counts for, above 0
    reveal                  what a host gets to know: see above. Only with "woe" can it `transform`
    share_names             a host's choice: whether the guest sees the names of its columns, or numbers

    After `fit`: `bins_`, `woe_`, `iv_` by the name of one's own columns (a host: what `reveal` allows); at the guest
    `counts_`, int64[bins, 2] of its own, and `peer_iv_`, IV by "HOST:ALIAS"; at a host `aliases_`, alias -> name.
    """

    kind = "woe-encoder"

    def __init__(
        self,
        *,
        method: Method = "quantile",
        n_fine: int = 50,
        edges: Mapping[str, Sequence[float]] | None = None,
        threshold: float = CHI_SQUARE_95,
        max_bins: int | None = 8,
        min_share: float = 0.05,
        min_events: int = 5,
        monotone: bool = False,
        smoothing: float = 0.5,
        reveal: Reveal = "woe",
        share_names: bool = False,
    ) -> None:
        if reveal not in get_args(Reveal):
            raise ValueError(f"reveal is {reveal!r}; give one of {', '.join(get_args(Reveal))}")
        if not (isinstance(smoothing, int | float) and np.isfinite(smoothing) and smoothing > 0):
            raise ValueError(f"smoothing is {smoothing!r}: give rows, above 0")
        self.edges = Binner(method=method, n_bins=n_fine, edges=edges).edges
        self.method = method
        self.n_fine = n_fine
        self.threshold = threshold
        self.max_bins = max_bins
        self.min_share = min_share
        self.min_events = min_events
        self.monotone = bool(monotone)
        self.smoothing = smoothing
        self.reveal = reveal
        self.share_names = bool(share_names)
        checked_rules(self._rules())

    def _rules(self) -> dict[str, Any]:
        names = ("threshold", "max_bins", "min_share", "min_events", "monotone")
        return {name: getattr(self, name) for name in names}

    def fit(self, frame: Frame, *, session: Session | None = None) -> Self:
        """At the guest alone without a session; with one at all parties, each with its own columns of the same rows.

        DataError for labels other than 0 and 1 or all the same, columns without any value, ids that do not line up;
        ConfigError for parameters that are not the same at the parties; ProtocolAbort naming a peer.
        """
        if session is None:
            self._fit_guest(frame, None)
            return self
        with session.ending_together():
            session.agree("woe", {**self._rules(), "smoothing": self.smoothing, "reveal": self.reveal})
            session.check_ids(frame)
            if session.role == "guest":
                self._fit_guest(frame, session)
            else:
                self._fit_host(frame, session)
        return self

    def _cut(self, frame: Frame) -> tuple[dict[str, FeatureBins], Int16s, list[int]]:
        """(fine bins, bin numbers of the rows, kinds) of one's own columns."""
        binner = Binner(method=self.method, n_bins=self.n_fine, edges=self.edges).fit(frame)
        kinds = [
            UNORDERED if name in frame.categories else FIXED if name in (self.edges or {}) else ORDERED
            for name in frame.names
        ]
        return binner.bins_, binner.numbers(frame), kinds

    def weigh(self, counts: Counts, kind: int, totals: tuple[int, int]) -> Weighed:
        """What becomes of the fine bins of one column, int64[bins, 2] with that of missing values at the end."""
        rules = self._rules()
        if kind == FIXED:
            rules |= {"threshold": 0.0, "max_bins": None, "monotone": False}
        groups = merge_bins(counts[:-1], ordered=kind != UNORDERED, **rules)
        merged = np.zeros((int(groups.max()) + 2, 2), dtype=np.int64)
        np.add.at(merged, groups, counts[:-1])
        merged[-1] = counts[-1]
        # No bin is left out of what is told, since its rows of label 1 are what the others leave of the total.
        told, largest = merged.copy(), int(np.argmax(merged[:-1].sum(axis=1)))
        together = merged[-1].sum() > 0 and min(merged[-1].min(), merged[:-1].min()) < self.min_events
        if together:
            told[largest] += told[-1]
            told[-1] = 0
        woe, iv = weights_of_evidence(
            told, totals=totals, smoothing=self.smoothing, min_events=self.min_events
        )
        if together:
            woe[-1] = woe[largest]
        return Weighed(groups, woe, iv, merged)

    def _fit_guest(self, frame: Frame, session: Session | None) -> None:
        positive = binary_labels(frame)
        totals = (int(positive.sum()), int((~positive).sum()))
        weighed: dict[str, Weighed] = {}
        fine: dict[str, FeatureBins] = {}
        if frame.names:
            fine, numbers, kinds = self._cut(frame)
            counts = count_by_bin(numbers, positive, max(one.n_bins for one in fine.values()))
            for i, (name, bins) in enumerate(fine.items()):
                weighed[name] = self.weigh(counts[i, : bins.n_bins], kinds[i], totals)
        peer_iv = {} if session is None else ask_hosts(session, positive, self.weigh, self.reveal)
        self._take(frame, {n: b.merged(weighed[n].groups) for n, b in fine.items()})
        self.woe_ = {name: one.woe for name, one in weighed.items()}
        self.iv_ = {name: one.iv for name, one in weighed.items()}
        self.counts_ = {name: one.counts for name, one in weighed.items()}
        self.peer_iv_ = peer_iv
        self.aliases_: dict[str, str] = {}

    def _fit_host(self, frame: Frame, session: Session) -> None:
        if not frame.names:
            raise DataError("the host's table has no columns to weigh; give it features")
        with session.meter("native"):
            fine, numbers, kinds = self._cut(frame)
        part = HostPart(tuple(fine), numbers, np.array([b.n_bins for b in fine.values()]), np.array(kinds))
        told = answer_guest(session, part, fine, self.reveal, self.share_names)
        self._take(frame, told.bins)
        self.woe_, self.iv_, self.aliases_ = told.woe, told.iv, told.aliases
        self.counts_, self.peer_iv_ = {}, {}

    def _take(self, frame: Frame, bins: dict[str, FeatureBins]) -> None:
        self.bins_ = bins
        self.categories_ = {n: t for n, t in frame.categories.items() if n in bins}

    def _check_weights(self) -> None:
        self._check_fitted()
        if not self.woe_ and self.reveal != "woe":
            raise ConfigError(
                f"with reveal={self.reveal!r} a host gets no weight of evidence; fit with reveal='woe' at all parties"
            )

    def bin_numbers(self, frame: Frame) -> dict[str, Int16s]:
        """int16[rows] by name: the bin of each row, for `evaluation.points_by_feature`. DataError for a column that is
        missing; ConfigError at a host that was not told its bins."""
        self._check_weights()
        numbers = numbers_in(self.bins_, self.categories_, frame)
        return {name: numbers[:, i] for i, name in enumerate(self.bins_)}

    def transform(self, frame: Frame) -> Frame:
        """The columns of `fit` with the WOE of each value. Errors: `bin_numbers`."""
        numbers = self.bin_numbers(frame)
        values = np.empty((len(frame), len(numbers)), dtype=np.float64)
        for i, (name, column) in enumerate(numbers.items()):
            values[:, i] = self.woe_[name][column]
        return Frame(tuple(numbers), values, frame.labels, frame.ids)

    def fit_transform(self, frame: Frame, *, session: Session | None = None) -> Frame:
        """`fit`, then `transform`."""
        return self.fit(frame, session=session).transform(frame)

    def scorecard_bins(self, names: Sequence[str] | None = None) -> dict[str, tuple[tuple[str, ...], Floats]]:
        """name -> (labels, WOE) of the bins of one's own columns, or of `names`: what `evaluation.make_scorecard`
        takes. DataError for a name that was not fitted."""
        self._check_weights()
        for name in names or ():
            if name not in self.bins_:
                raise DataError(
                    f"{name!r} has no bins here; the encoder was fitted to {', '.join(self.bins_)}"
                )
        return {n: (self.bins_[n].labels, self.woe_[n]) for n in (self.bins_ if names is None else names)}

    def _state(self) -> dict[str, Any]:
        return {
            "bins": [bins.to_dict() for bins in self.bins_.values()],
            "categories": stored_categories(self.categories_),
            "woe": {name: values.tolist() for name, values in self.woe_.items()},
            "iv": self.iv_,
            "counts": {name: counts.tolist() for name, counts in self.counts_.items()},
            "peer_iv": self.peer_iv_,
            "aliases": self.aliases_,
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        bins = {b.name: b for b in map(FeatureBins.from_dict, state["bins"])}
        self.bins_, self.categories_ = bins, read_categories(state["categories"])
        if set(state["woe"]) != set(bins) or not set(state["counts"]) <= set(bins):
            raise ValueError("weights of other columns")
        self.woe_ = {name: finite_list(state["woe"][name], one.n_bins) for name, one in bins.items()}
        self.iv_ = {str(n): float(finite_list([v], 1)[0]) for n, v in state["iv"].items()}
        self.peer_iv_ = {str(n): float(finite_list([v], 1)[0]) for n, v in state["peer_iv"].items()}
        self.counts_ = {
            name: np.array(state["counts"][name], dtype=np.int64).reshape(one.n_bins, 2)
            for name, one in bins.items()
            if name in state["counts"]
        }
        self.aliases_ = {str(alias): str(name) for alias, name in state["aliases"].items()}
