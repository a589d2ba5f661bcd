# SPDX-License-Identifier: Apache-2.0
"""One party of a logistic regression, as a process: what `test_linear_models` times. Writes a JSON object to `out`.

python -m benchmarks.linear_party '{"role": "guest", "port": 1234, "rows": 1000, ...}'
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

from crypsis.mpc.learning import CipherOptions, Frame, Session
from crypsis.mpc.learning.linear import LogisticRegression
from crypsis.mpc.transport import ChannelOptions, open_channel


def data(rows: int, columns: int) -> tuple[Any, Any]:
    """(float64[rows, 2 * columns], labels) of a logistic model with normal features; the host's columns are last."""
    rng = np.random.default_rng(2024)
    values = rng.standard_normal((rows, 2 * columns))
    weights = rng.normal(size=2 * columns) / np.sqrt(columns)
    labels = rng.random(rows) < 1 / (1 + np.exp(-(values @ weights - 0.5)))
    return values, labels.astype(np.float64)


def main() -> None:
    asked = json.loads(sys.argv[1])
    role, rows, columns = asked["role"], asked["rows"], asked["columns"]
    values, labels = data(rows, columns)
    own = values[:, :columns] if role == "guest" else values[:, columns:]
    frame = Frame.from_numpy(np.ascontiguousarray(own), labels if role == "guest" else None)
    del values
    address = f"127.0.0.1:{asked['port']}"
    options = ChannelOptions(window_bytes=64 << 20)
    channel = open_channel(
        party=role,
        peer="host" if role == "guest" else "guest",
        listen=address if role == "guest" else None,
        connect=None if role == "guest" else address,
        insecure=True,
        options=options,
    )
    with channel:
        cipher = CipherOptions(key_bits=asked["key_bits"], vartime=asked["vartime"])

        def progress(phase: str, done: int, total: int, metrics: dict[str, float]) -> None:
            if phase == "epoch":
                print(role, phase, done, total, metrics, file=sys.stderr, flush=True)

        session = Session(role, channel, cipher=cipher, progress=progress)
        begun = time.process_time()
        model = LogisticRegression(role=role, **asked["parameters"]).fit(frame, session=session)
        cpu_seconds = time.process_time() - begun
    with open(asked["out"], "w", encoding="utf-8") as file:
        json.dump(
            {
                "coef": model.coef_.tolist(),
                "intercept": model.intercept_,
                "run": model.job_,
                "products": model.products_,
                "history": model.history_,
                "cpu_seconds": cpu_seconds,
            },
            file,
        )


if __name__ == "__main__":
    main()
