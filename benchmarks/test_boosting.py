# SPDX-License-Identifier: Apache-2.0
"""Vertical boosting between two processes over loopback TLS, one thread each: seconds a tree, bytes, and where the time
goes at each party.

    python -m benchmarks.test_boosting [--rows 100000] [--features 30] [--trees 10] [--depth 5] [--key-bits 2048]
                                       [--vartime] [--ahead] [--rows-out FILE]

First the answers: the guest holds its scores of the training rows against xgboost's trained on the same bins in the
clear (the same but where gains differ by less than single precision) and, each cutting columns by itself, the AUC.
Then a row is appended to benchmarks/results and printed: seconds of each tree by the guest's clock, from gradients to
scores; mean seconds by kind at each party; shares of the wall time, of each party and of both together (seconds of both
over the wall time of both); processor seconds of all threads of each, and bytes that each sent, a tree; seconds of the
joint prediction of all rows.
Compilation by numba and the making of keys and their tables are done before, on a few rows. As a test it runs on few
rows, to see that it runs.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import rows
from crypsis.mpc.learning import CipherOptions, Frame, Session
from crypsis.mpc.learning.boosting import GradientBoostingClassifier, quantile_bins
from crypsis.mpc.learning.evaluation import metrics
from crypsis.mpc.learning.meter import shares
from crypsis.mpc.transport import connect, listen
from crypsis.mpc.transport.certs import make_development_certificates, party_files
from crypsis.mpc.transport.ports import free_port

MAX_BINS = 32


def data(rows: int, features: int) -> tuple[Any, Any]:
    """float64[rows, 2 features] and labels: both parties' columns matter."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(rows, 2 * features))
    score = x[:, :5].sum(axis=1) + x[:, features : features + 5].sum(axis=1) + x[:, 0] * x[:, features]
    return x, (score + 2 * rng.normal(size=rows) > 0).astype(np.float64)


def party(role: str, args: argparse.Namespace) -> None:
    """One of the processes."""
    x, y = data(args.rows, args.features)
    own = x[:, : args.features] if role == "guest" else x[:, args.features :]
    files = party_files(args.folder, role)
    peer = "host" if role == "guest" else "guest"
    if role == "guest":
        channel = listen(args.address, party=role, peer=peer, tls=files).accept()
    else:
        channel = connect(args.address, party=role, peer=peer, tls=files)
    with channel:
        cipher = CipherOptions(key_bits=args.key_bits, vartime=args.vartime, ahead=args.ahead)
        session = Session("guest" if role == "guest" else "host", channel, cipher=cipher)

        def fit(rows: int, trees: int, depth: int) -> GradientBoostingClassifier:
            frame = Frame.from_numpy(own[:rows], y[:rows] if role == "guest" else None)
            model = GradientBoostingClassifier(
                session.role, n_estimators=trees, max_depth=depth, max_bins=MAX_BINS, base_score=0.0
            )
            return model.fit(frame, session=session)

        model = fit(500, 1, 3)
        model.decision_function(Frame.from_numpy(own[:500]), session=session)
        before, begun, busy = channel.stats, time.perf_counter(), time.process_time()
        model = fit(args.rows, args.trees, args.depth)
        whole, after = time.perf_counter() - begun, channel.stats
        busy = time.process_time() - busy
        kinds = [entry["seconds"] for entry in model.history_]
        mean = {name: float(np.mean([entry[name] for entry in kinds])) for name in kinds[0]}
        begun = time.perf_counter()
        scores = model.decision_function(Frame.from_numpy(own), session=session)
        told: dict[str, Any] = {
            "fit_seconds": whole,
            "cpu_seconds_a_tree": busy / args.trees,
            "predict_seconds": time.perf_counter() - begun,
            "seconds_of_trees": [entry["total"] for entry in kinds],
            "seconds_per_tree": mean,
            "shares": shares(mean),
            "bytes_sent_a_tree": (after.payload_bytes_sent - before.payload_bytes_sent) / args.trees,
        }
        if scores is not None:
            told["auc"] = metrics.auc(y, scores)
            if importlib.util.find_spec("xgboost") is not None:
                told |= compared(x, y, scores, args)
        (args.folder / f"{role}.json").write_text(json.dumps(told))


def compared(x: Any, y: Any, scores: Any, args: argparse.Namespace) -> dict[str, float]:
    """The scores beside those of xgboost on the joined data: with the parties' bins, and with cuts of its own.
    RuntimeError where they are not as good."""
    whole = Frame.from_numpy(x)
    binned = quantile_bins(whole, MAX_BINS).table(whole).astype(np.float32)
    same_bins = plaintext_scores(binned, y, args, 256)
    own_cuts = plaintext_scores(x, y, args, MAX_BINS)
    difference = float(np.median(np.abs(1 / (1 + np.exp(-scores)) - same_bins)))
    told = {
        "auc_xgboost": metrics.auc(y, own_cuts),
        "auc_xgboost_same_bins": metrics.auc(y, same_bins),
        "median_difference_same_bins": difference,
    }
    own = metrics.auc(y, scores)
    if difference > 1e-5 or abs(own - told["auc_xgboost"]) > 0.005:
        raise RuntimeError(f"the answers are wrong: AUC {own}, in the clear {told}")
    return told


def plaintext_scores(x: Any, y: Any, args: argparse.Namespace, max_bins: int) -> Any:
    """Probabilities by xgboost, trained on the same rows."""
    xgboost: Any = importlib.import_module("xgboost")
    params = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_bin": max_bins,
        "max_depth": args.depth,
        "eta": 0.3,
        "base_score": 0.5,
        "nthread": 1,
    }
    trained = xgboost.train(params, xgboost.DMatrix(x, y), args.trees)
    return trained.predict(xgboost.DMatrix(x)).astype(np.float64)


def job(folder: Path, **options: Any) -> dict[str, Any]:
    """Runs both processes; what each found."""
    make_development_certificates(folder, ["guest", "host"], overwrite=True)
    given = {"folder": folder, "address": f"127.0.0.1:{free_port()}", **options}
    command = [sys.executable, "-m", "benchmarks.test_boosting"]
    for name, value in given.items():
        command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    environment = os.environ | {"CRYPSIS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    processes = [subprocess.Popen([*command, "--role", role], env=environment) for role in ("guest", "host")]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise RuntimeError(f"the parties ended with {codes}")
    found = {role: json.loads((folder / f"{role}.json").read_text()) for role in ("guest", "host")}
    total = sum(found[role]["seconds_per_tree"]["total"] for role in found)
    found["together"] = {
        kind: sum(found[role]["seconds_per_tree"][kind] for role in ("guest", "host")) / total
        for kind in ("he", "wait", "native", "python")
    }
    return {"options": {name: str(value) for name, value in options.items()}, **found}


def test_boosting_job_runs(tmp_path: Path) -> None:
    """The whole job on few rows: the model is as good as the plaintext one."""
    found = job(tmp_path, rows=2000, features=4, trees=2, depth=3, key_bits=2048)
    print(json.dumps(found, indent=1))
    if "auc_xgboost" not in found["guest"]:
        pytest.skip("xgboost is not installed: nothing to compare with")
    assert found["guest"]["median_difference_same_bins"] < 1e-5


def measurement(found: dict[str, Any]) -> rows.Measurement:
    """The row of a job: time of a tree, all else in its extra."""
    options = {name: int(value) for name, value in found["options"].items() if value.isdigit()}
    shape = f"{options['rows']} x ({options['features']} + {options['features']})"
    return rows.Measurement(
        f"boosting/tree/{shape}, depth {options['depth']}, {options['key_bits']} bits",
        options["rows"],
        "rows of a tree",
        rows.Timing(found["guest"]["seconds_of_trees"]),
        {},
        extra=found,
    )


def main() -> None:
    """Both processes, or with --role one of them."""
    parser = argparse.ArgumentParser()
    for name, value in (("rows", 100_000), ("features", 30), ("trees", 10), ("depth", 5), ("key-bits", 2048)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--vartime", action="store_true")
    parser.add_argument("--ahead", action="store_true")
    parser.add_argument("--rows-out", type=Path, default=None)
    parser.add_argument("--role")
    parser.add_argument("--address")
    parser.add_argument("--folder", type=Path, default=None)
    args = parser.parse_args()
    if args.role:
        party(args.role, args)
        return
    options = {name: getattr(args, name) for name in ("rows", "features", "trees", "depth", "key_bits")}
    options |= {name: True for name in ("vartime", "ahead") if getattr(args, name)}
    with tempfile.TemporaryDirectory() as spare:
        folder = (args.folder or Path(spare)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        measured = measurement(job(folder, **options))
    rows.append(args.rows_out or rows.default_path(), measured.as_row() | rows.environment())
    print(json.dumps(measured.as_row(), indent=1))
    print(measured.as_text())


if __name__ == "__main__":
    main()
