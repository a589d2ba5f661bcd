# SPDX-License-Identifier: Apache-2.0
"""Vertical logistic regression: two processes over gRPC, keys of 2048 bits, a line of 100 Mbit/s each way.

    python -m pytest benchmarks/test_linear_models.py [--rows-out FILE]    # 20,000 rows; 100,000 at full scale
    CRYPSIS_BENCH_SCALE=full python -m pytest benchmarks/test_linear_models.py -m "slow or not slow"    # and a million

Before a figure is written, the weights are compared with the same descent in the clear, batch for batch.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import linear_party, rows
from benchmarks.conftest import SCALE
from crypsis.mpc.bench.shaped_link import ShapedLink
from crypsis.mpc.learning.linear.regression import FEATURE_BITS
from crypsis.mpc.learning.linear.schedule import batch_order, batches
from crypsis.mpc.learning.linear.sigmoid import POLYNOMIALS

MEGABITS = 100
LIMIT_S = 3600


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def train(folder: Path, n_rows: int, columns: int, parameters: dict[str, Any]) -> dict[str, Any]:
    """Both processes' results, by role."""
    port = free_port()
    link = ShapedLink(port, megabits=MEGABITS)
    environment = os.environ | {"CRYPSIS_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    running = []
    for role in ("guest", "host"):
        asked = {
            "role": role,
            "port": port if role == "guest" else link.port,
            "rows": n_rows,
            "columns": columns,
            "key_bits": 2048,
            "vartime": False,
            "parameters": parameters,
            "out": str(folder / f"{role}.json"),
        }
        command = [sys.executable, "-m", "benchmarks.linear_party", json.dumps(asked)]
        running.append(subprocess.Popen(command, cwd=rows.ROOT, env=environment))
    codes = [process.wait(LIMIT_S) for process in running]
    link.close()
    assert codes == [0, 0]
    return {role: json.loads((folder / f"{role}.json").read_text()) for role in ("guest", "host")}


def in_the_clear(n_rows: int, columns: int, parameters: dict[str, Any], run: str) -> Any:
    """The same descent in float64: weights of guest, intercept, host."""
    values, labels = linear_party.data(n_rows, columns)
    values -= values.mean(axis=0)
    values /= values.std(axis=0)
    quantised = np.rint(np.clip(values, -8, 8) * (1 << FEATURE_BITS)) / (1 << FEATURE_BITS)
    matrix = np.insert(quantised, columns, 1.0, axis=1)
    del values, quantised
    penalty = np.full(2 * columns + 1, 1 / (parameters["C"] * n_rows))
    penalty[columns] = 0
    weights, velocity = np.zeros(2 * columns + 1), np.zeros(2 * columns + 1)
    for epoch in range(parameters["max_epochs"]):
        order = batch_order(run, epoch + 1, n_rows)
        for rows_of in batches(n_rows, parameters["batch_size"]):
            part = order[rows_of]
            batch = matrix[part]
            z = batch @ weights
            chances = 0.5 + z / 4
            if parameters["sigmoid"] != "linear":
                terms = enumerate(POLYNOMIALS[parameters["sigmoid"]].coefficients)
                chances = 0.5 + sum(c * z ** (2 * i + 1) for i, c in terms)
            gradient = batch.T @ (chances - labels[part]) / len(part) + penalty * weights
            velocity = parameters["momentum"] * velocity + gradient
            weights = weights - parameters["learning_rate"] * (gradient + parameters["momentum"] * velocity)
    return weights


def measure(
    folder: Path, environment: dict[str, Any], path: Path, n_rows: int, columns: int, **changed: Any
) -> None:
    """Trains, compares, appends a row and prints it."""
    parameters: dict[str, Any] = {
        "C": 1.0,
        "sigmoid": "linear",
        "learning_rate": 0.5,
        "momentum": 0.5,
        "batch_size": 65_536,
        "max_epochs": 2,
        "tol": None,
    } | changed
    found = train(folder, n_rows, columns, parameters)
    guest, host = found["guest"], found["host"]
    weights = np.concatenate([guest["coef"], [guest["intercept"]], host["coef"]])
    due = in_the_clear(n_rows, columns, parameters, guest["run"])
    np.testing.assert_allclose(weights, due, atol=2e-3)
    epochs = guest["history"]
    seconds = [entry["seconds"]["total"] for entry in epochs]
    extra = {
        "columns": [columns, columns],
        "key_bits": 2048,
        "megabits_each_way": MEGABITS,
        "sigmoid": parameters["sigmoid"],
        "products": found["guest"]["products"],
        "batch_size": parameters["batch_size"],
        "epochs": len(epochs),
        "seconds_all_epochs": sum(seconds),
        "bytes_a_row_guest_to_host": sum(entry["bytes_sent"] for entry in epochs) / n_rows / len(epochs),
        "bytes_a_row_host_to_guest": sum(entry["bytes_received"] for entry in epochs) / n_rows / len(epochs),
        "cpu_seconds": {role: found[role]["cpu_seconds"] for role in found},
        "shares": {role: _shares(found[role]["history"]) for role in found},
    }
    kind = "" if guest["products"] == "scheme" else f"_{guest['products']}"
    name = f"logistic_regression_{parameters['sigmoid']}{kind}_{n_rows}x{columns}+{columns}"
    measurement = rows.Measurement(name, n_rows, "rows", rows.Timing(seconds), {}, extra=extra)
    rows.append(path, measurement.as_row() | environment)
    print(measurement.as_text(), json.dumps(extra), flush=True)


def _shares(history: list[dict[str, Any]]) -> dict[str, float]:
    total = sum(entry["seconds"]["total"] for entry in history)
    kinds = ("he", "wait", "native", "python")
    return {kind: sum(entry["seconds"][kind] for entry in history) / total for kind in kinds}


@pytest.fixture
def path(request: pytest.FixtureRequest) -> Path:
    """Where rows go."""
    chosen: Path | None = request.config.getoption("--rows-out")
    return chosen or rows.default_path()


@pytest.mark.parametrize("products", ["bgv", "scheme"])
@pytest.mark.parametrize("sigmoid", ["linear", "degree5"])
def test_epochs(sigmoid: str, products: str, tmp_path: Path, environment: dict[str, Any], path: Path) -> None:
    """100,000 rows (quick: 20,000) of 30 + 30 columns."""
    n_rows, batch = (100_000, 50_000) if SCALE == "full" else (20_000, 20_000)
    measure(tmp_path, environment, path, n_rows, 30, sigmoid=sigmoid, batch_size=batch, products=products)


@pytest.mark.slow
@pytest.mark.parametrize("products", ["bgv", "scheme"])
def test_a_million_rows(products: str, tmp_path: Path, environment: dict[str, Any], path: Path) -> None:
    """1,000,000 rows of 20 + 20 columns, 5 epochs."""
    measure(tmp_path, environment, path, 1_000_000, 20, max_epochs=5, products=products)
