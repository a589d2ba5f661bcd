# SPDX-License-Identifier: Apache-2.0
"""Two parties' training jobs as threads of one process, and the files they work on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crypsis.mpc.learning.config import PredictConfig, TrainConfig, parse_learning
from crypsis.mpc.learning.job import run_train
from crypsis.mpc.learning.predict_job import run_predict
from crypsis.mpc.transport.ports import free_port

WAIT_S = 300
ROLES = {"bank": "guest", "telco": "host"}


class Jobs:
    """A bank with labels and a telco, with tables of customers 0..n-1 in one folder."""

    def __init__(self, folder: Path, n: int = 200, *, shift: int = 0) -> None:
        """shift: the telco has customers from there on, in another order."""
        self.folder = folder
        self.port = free_port()
        random = np.random.default_rng(7)
        x = random.normal(size=(n + shift, 4))
        y = (random.random(n + shift) < 1 / (1 + np.exp(-2 * x[:, 0] + 1.5 * x[:, 2]))).astype(np.int64)
        ids = np.array([f"c{i:05}" for i in range(n + shift)])
        self.write("bank", id=ids[:n], age=x[:n, 0], income=x[:n, 1], bad=y[:n])
        order = random.permutation(np.arange(shift, n + shift)) if shift else np.arange(n)
        self.write("telco", id=ids[order], calls=x[order, 2], spend=x[order, 3])

    def write(self, party: str, **columns: Any) -> None:
        pq.write_table(pa.table(columns), self.folder / f"{party}.parquet")

    def table(self, party: str) -> dict[str, Any]:
        table = pq.read_table(self.folder / f"{party}.parquet")
        return {name: table[name].to_numpy() for name in table.column_names}

    def _base(self, party: str) -> dict[str, Any]:
        peer = "telco" if party == "bank" else "bank"
        return {
            "party": party,
            "peer": peer,
            "role": ROLES[party],
            "listen" if party == "bank" else "connect": f"127.0.0.1:{self.port}",
            "insecure": True,
            "input": str(self.folder / f"{party}.parquet"),
            "keys": ["id"],
            "threads": 1,
            "patience": 60,
            "model": str(self.folder / f"{party}.model.json"),
        }

    def train_config(self, party: str, **fields: Any) -> TrainConfig:
        raw = self._base(party) | {
            "algorithm": "logistic-regression",
            "label": "bad" if party == "bank" else None,
            "cipher": {"key_bits": 2048},
            **fields,
        }
        return parse_learning(TrainConfig, {name: value for name, value in raw.items() if value is not None})

    def predict_config(self, party: str, **fields: Any) -> PredictConfig:
        raw = self._base(party) | {
            "output": str(self.folder / f"{party}.scores.parquet") if party == "bank" else None,
            **fields,
        }
        return parse_learning(
            PredictConfig, {name: value for name, value in raw.items() if value is not None}
        )

    def train(
        self, bank: dict[str, Any] | None = None, telco: dict[str, Any] | None = None, **both: Any
    ) -> Any:
        """(the bank's result, the telco's): report, or exception."""
        return together(
            lambda: run_train(self.train_config("bank", **both, **(bank or {}))),
            lambda: run_train(self.train_config("telco", **both, **(telco or {}))),
        )

    def predict(
        self, bank: dict[str, Any] | None = None, telco: dict[str, Any] | None = None, **both: Any
    ) -> Any:
        return together(
            lambda: run_predict(self.predict_config("bank", **both, **(bank or {}))),
            lambda: run_predict(self.predict_config("telco", **both, **(telco or {}))),
        )

    def names(self) -> list[str]:
        """Files in the folder but the inputs."""
        return sorted(
            p.name for p in self.folder.iterdir() if p.name not in ("bank.parquet", "telco.parquet")
        )


def together(*tasks: Any) -> list[Any]:
    """The results of all, each in a thread; an exception is a result."""
    results: list[Any] = [None] * len(tasks)

    def one(place: int) -> None:
        try:
            results[place] = tasks[place]()
        except BaseException as error:
            results[place] = error

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        if thread.is_alive():
            raise TimeoutError(f"a party still runs; results so far: {results}")
    return results
