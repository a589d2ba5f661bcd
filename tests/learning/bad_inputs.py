# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a training or a prediction, as a table: who does what, and what both parties are told.

The tables are those of `job_cases.Jobs` and of `tests.cli.train_cases.Training`: the bank has id, age, income, bad, the
telco id, calls, spend; the same ids in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

Table = dict[str, Any]


@dataclass(frozen=True)
class Mistake:
    """party: who makes it. change: its table. fields: of its configuration; both: of both. own, peer: what it and the
    other one are told (equal exit codes 2 and 4 where both see the same), codes: how the two end."""

    name: str
    party: str
    own: str
    peer: str
    change: Callable[[Table], Table] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    both: dict[str, Any] = field(default_factory=dict)
    codes: tuple[int, int] = (4, 6)

    def __str__(self) -> str:
        return f"{self.name} ({self.party})"


def _set(name: str, values: Callable[[Any], Any]) -> Callable[[Table], Table]:
    return lambda table: {**table, name: values(table[name])}


def _first(value: Any) -> Callable[[Any], Any]:
    return lambda column: np.array([value, *column[1:]], dtype=object if value is None else None)


def _rows(order: Callable[[Any], Any]) -> Callable[[Table], Table]:
    return lambda table: {name: values[order(np.arange(len(values)))] for name, values in table.items()}


def _twice(ids: Any) -> Any:
    return np.array([ids[1], *ids[1:]])


def _null(column: Any) -> Any:
    return pa.array([None, *column[1:].tolist()])


def _holes(column: Any) -> Any:
    return np.where(np.arange(len(column)) % 7 == 3, np.nan, column)


IDS = "its ids are missing or there more than once"
LABELS = "its labels are not 0 and 1"
MISSING = "values are missing in its columns"
FLAT = "a column of its has the same value in every row"
EMPTY = "a column of its has no value in any row"
IMPUTE = {"preprocess": [{"impute": {"strategy": "median"}}]}
SCALE = {"preprocess": ["standardise"]}
ORDER = "are the same in another order"

TRAIN = [
    Mistake("ids in another order", "bank", ORDER, ORDER, _rows(lambda i: i[::-1]), codes=(4, 4)),
    Mistake("ids in another order", "telco", ORDER, ORDER, _rows(lambda i: i[::-1]), codes=(4, 4)),
    Mistake(
        "a row less", "telco", "intersect both tables first", "intersect both tables first",
        _rows(lambda i: i[:-1]), codes=(4, 4),
    ),
    Mistake(
        "other ids", "bank", "are not the same", "are not the same",
        _set("id", lambda ids: np.array([f"x{one}" for one in ids])), codes=(4, 4),
    ),
    Mistake("an id twice", "bank", "there more than once", IDS, _set("id", _twice)),
    Mistake("an id twice", "telco", "there more than once", IDS, _set("id", _twice)),
    Mistake("an id twice, intersected", "telco", "there more than once", IDS, _set("id", _twice), both={"psi": {}}),
    Mistake("no id", "telco", "is missing", IDS, _set("id", _null)),
    Mistake("a label of 2", "bank", "neither 0 nor 1", LABELS, _set("bad", _first(2))),
    Mistake("a label of 0.5", "bank", "neither 0 nor 1", LABELS, _set("bad", _first(0.5))),
    Mistake("a label of -1", "bank", "neither 0 nor 1", LABELS, _set("bad", _first(-1))),
    Mistake("no label", "bank", "missing or infinite", "its labels will not do", _set("bad", _null)),
    Mistake(
        "texts as labels", "bank", "is text", "its labels will not do",
        _set("bad", lambda y: np.where(y == 1, "yes", "no")),
    ),
    Mistake("one label", "bank", "have the label 1", "its labels are all the same", _set("bad", np.ones_like)),
    Mistake("NaN", "bank", "values are missing in 'age'", MISSING, _set("age", _holes)),
    Mistake("NaN", "telco", "values are missing in 'calls'", MISSING, _set("calls", _holes)),
    Mistake("infinity", "telco", "is infinite", "DataError at party 'telco'", _set("calls", _first(np.inf))),
    Mistake("constant", "bank", "'age' has the same value", FLAT, _set("age", np.ones_like)),
    Mistake("constant", "telco", "'calls' has the same value", FLAT, _set("calls", np.ones_like)),
    Mistake(
        "constant, scaled", "telco", "'calls' have the same value", "will not do for the step standardise",
        _set("calls", np.ones_like), both=SCALE,
    ),
    Mistake(
        "all missing", "bank", "no row has a value in 'age'", EMPTY,
        _set("age", lambda x: np.full(len(x), np.nan)), both=IMPUTE,
    ),
    Mistake(
        "all missing", "telco", "no row has a value in 'calls'", EMPTY,
        _set("calls", lambda x: np.full(len(x), np.nan)), both=IMPUTE,
    ),
    Mistake(
        "a column that is not there", "telco", "no column 'roaming'", "a column is missing",
        fields={"features": ["calls", "roaming"]},
    ),
    Mistake(
        "other parameters", "telco", "disagree on 'parameters.", "disagree on 'parameters.",
        fields={"parameters": "other"}, codes=(2, 2),
    ),
    Mistake(
        "another algorithm", "telco", "disagree on 'algorithm'", "disagree on 'algorithm'",
        fields={"algorithm": "linear-regression", "parameters": {}}, codes=(2, 2),
    ),
    Mistake(
        "other steps", "telco", "disagree on 'preprocess'", "disagree on 'preprocess'", fields=SCALE, codes=(2, 2)
    ),
    Mistake(
        "another split", "bank", "disagree on 'evaluation'", "disagree on 'evaluation'",
        fields={"evaluation": {"seed": 3}}, codes=(2, 2),
    ),
    Mistake(
        "a longer key", "telco", "disagree on 'cipher.key_bits'", "disagree on 'cipher.key_bits'",
        fields={"cipher": {"key_bits": 3072}}, codes=(2, 2),
    ),
]  # fmt: skip

PREDICT = [
    Mistake(
        "a column is missing", "telco", "no column 'calls'", "a column of the model is missing",
        lambda table: {name: values for name, values in table.items() if name != "calls"},
    ),
    Mistake(
        "a column is missing", "bank", "no column 'age'", "a column of the model is missing",
        lambda table: {name: values for name, values in table.items() if name != "age"},
    ),
    Mistake(
        "a column has become text", "telco", "is text and was numbers", "has another type",
        _set("calls", lambda x: np.array(["many"] * len(x))),
    ),
    Mistake("NaN", "bank", "values are missing in 'age'", MISSING, _set("age", _holes)),
    Mistake("ids in another order", "telco", ORDER, ORDER, _rows(lambda i: i[::-1]), codes=(4, 4)),
    Mistake("an id twice", "bank", "there more than once", IDS, _set("id", _twice)),
]  # fmt: skip
