# SPDX-License-Identifier: Apache-2.0
"""`crypsis demo train`: a bank and a telco intersect generated customers and train on them, two operating-system
processes over loopback mutual TLS; then the same model in the clear on the joined table."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from crypsis.errors import ConfigError
from crypsis.mpc.cli.demo import DemoFailed, run_parties
from crypsis.mpc.cli.demo_data import DATA, LABEL, Floats, joined, write_public, write_tables
from crypsis.mpc.cli.psi_run import size
from crypsis.mpc.learning import evaluation
from crypsis.mpc.learning.job_input import held_out
from crypsis.mpc.transport.certs import make_development_certificates
from crypsis.mpc.transport.ports import free_port

PARAMETERS: dict[str, dict[str, Any]] = {
    "gradient-boosting": {"n_estimators": 10, "max_depth": 3, "learning_rate": 0.3, "max_bins": 64},
    # Large batches: steps of descent that end at the optimum, which is what the plaintext model is.
    "logistic-regression": {"C": 0.1, "max_epochs": 20, "batch_size": 65536},
    "linear-regression": {"alpha": 1.0, "max_epochs": 20, "batch_size": 65536},
}
# Scores stay where the polynomial is near the logistic function.
_PENALTY = {"breast-cancer": 0.01, "german-credit": 0.003}
_SHARE, _SEED = 0.3, 7


def run_demo_train(
    *,
    n_rows: int,
    algorithm: str,
    data: str,
    key_bits: int,
    work_dir: Path | None,
    threads: int | None,
    quiet: bool,
) -> None:
    """Writes tables, trains, compares and prints. n_rows: of generated customers. Raises DemoFailed when a party fails,
    ConfigError and BackendUnavailable."""
    if algorithm not in PARAMETERS:
        raise ConfigError(f"--algorithm is {algorithm!r}: use one of {', '.join(PARAMETERS)}")
    if data not in DATA:
        raise ConfigError(f"--data is {data!r}: use one of {', '.join(DATA)}")
    if data != "generated" and algorithm == "linear-regression":
        raise ConfigError(f"--data {data} has classes: use another algorithm, or generated customers")
    with ExitStack() as stack:
        if work_dir is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crypsis-demo-")))
        else:
            folder = work_dir.absolute()
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"--work-dir {folder}: cannot be made: {error.strerror}") from error
        if data == "generated":
            write_tables(folder, n_rows, numbers=algorithm == "linear-regression")
        else:
            n_rows = write_public(folder, data)
        make_development_certificates(folder / "certificates", ["bank", "telco"], overwrite=True)
        parameters = parameters_of(algorithm, data)
        _write_configs(folder, algorithm, parameters, key_bits, threads)
        begin = time.perf_counter()
        run_parties(folder, "train", quiet=quiet)
        seconds = time.perf_counter() - begin
        _print_result(folder, algorithm, parameters, n_rows, seconds, kept=work_dir is not None)


def parameters_of(algorithm: str, data: str) -> dict[str, Any]:
    """The hyper-parameters that both models, the encrypted one and that in the clear, are trained with."""
    chosen = dict(PARAMETERS[algorithm])
    if "C" in chosen and data in _PENALTY:
        chosen["C"] = _PENALTY[data]
    return chosen


def _write_configs(
    folder: Path, algorithm: str, parameters: dict[str, Any], key_bits: int, threads: int | None
) -> None:
    """One configuration file a party, as its own operator would write it."""
    address = f"127.0.0.1:{free_port()}"
    cores = len(os.sched_getaffinity(0))
    for party, peer in (("bank", "telco"), ("telco", "bank")):
        config: dict[str, Any] = {
            "party": party,
            "peer": peer,
            "role": "guest" if party == "bank" else "host",
            "listen" if party == "bank" else "connect": address,
            "tls": {
                "ca": "certificates/ca.crt",
                "certificate": f"certificates/{party}.crt",
                "key": f"certificates/{party}.key",
            },
            "input": {"path": f"{party}.parquet"},
            "keys": [{"name": "id", "type": "string"}],
            "psi": {},
            "algorithm": algorithm,
            "parameters": parameters,
            "evaluation": {"share": _SHARE, "seed": _SEED},
            "cipher": {"key_bits": key_bits},
            "model": f"{party}.model.json",
            "overwrite": True,
            "job": "demo",
            "threads": threads or max(cores // 2, 1),
        }
        if party == "bank":
            config |= {"label": LABEL, "html_report": "bank.report.html"}
        # JSON is YAML, so this is what `crypsis train` reads too.
        (folder / f"{party}.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def plaintext_metrics(
    algorithm: str, chosen: dict[str, Any], ids: pa.Array, values: Floats, labels: Floats
) -> tuple[str, dict[str, float]] | None:
    """(which model, its metrics) trained in the clear with the same hyper-parameters and the same rows held out;
    None where no library for it is installed."""
    train, held = held_out(ids, _SHARE, _SEED)
    deviation = values[train].std(axis=0)
    scaled = (values - values[train].mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    try:
        if algorithm == "gradient-boosting":
            name, scores = _boosted(chosen, values[train], labels[train], values[held])
        else:
            linear = importlib.import_module("sklearn.linear_model")
            if algorithm == "linear-regression":
                ridge = linear.Ridge(alpha=chosen["alpha"]).fit(scaled[train], labels[train])
                found = evaluation.regression_metrics(labels[held], ridge.predict(scaled[held]))
                return "scikit-learn Ridge", {"rmse": found.rmse, "r2": found.r2}
            model = linear.LogisticRegression(C=chosen["C"], max_iter=1000).fit(scaled[train], labels[train])
            name, scores = "scikit-learn LogisticRegression", model.predict_proba(scaled[held])[:, 1]
    except ImportError:
        return None
    return name, {
        "auc": evaluation.auc(labels[held], scores),
        "ks": evaluation.ks(labels[held], scores).statistic,
    }


def _boosted(chosen: dict[str, Any], values: Floats, labels: Floats, held: Floats) -> tuple[str, Floats]:
    """By xgboost, whose formulas ours are, or else scikit-learn. ImportError without both."""
    try:
        xgboost = importlib.import_module("xgboost")
    except ImportError:
        other = (
            importlib.import_module("sklearn.ensemble")
            .HistGradientBoostingClassifier(
                max_iter=chosen["n_estimators"],
                max_depth=chosen["max_depth"],
                learning_rate=chosen["learning_rate"],
                max_bins=chosen["max_bins"],
                early_stopping=False,
                l2_regularization=1.0,
            )
            .fit(values, labels)
        )
        return "scikit-learn HistGradientBoostingClassifier", other.predict_proba(held)[:, 1]
    model = xgboost.XGBClassifier(
        n_estimators=chosen["n_estimators"],
        max_depth=chosen["max_depth"],
        learning_rate=chosen["learning_rate"],
        max_bin=chosen["max_bins"],
        tree_method="hist",
        base_score=float(labels.mean()),
    ).fit(values, labels)
    return "xgboost (hist)", np.asarray(model.predict_proba(held)[:, 1], dtype=np.float64)


def _print_result(
    folder: Path, algorithm: str, parameters: dict[str, Any], n_rows: int, seconds: float, *, kept: bool
) -> None:
    reports: dict[str, dict[str, Any]] = {
        name: json.loads((folder / f"{name}.model.json.report.json").read_text(encoding="utf-8"))
        for name in ("bank", "telco")
    }
    bank = reports["bank"]
    counts, traffic, metrics = bank["counts"], bank["traffic"], bank["metrics"]
    ids, values, labels = joined(folder)
    if len(values) != counts["matched_keys"]:
        raise DemoFailed("the result differs from the plaintext join: a defect in Crypsis", 70)
    own = [reports[name]["counts"]["columns"] for name in ("bank", "telco")]
    print(f"rows           bank {n_rows:,} (labels, {own[0]} columns), telco {n_rows:,} ({own[1]} columns)")
    print(f"intersection   {counts['matched_keys']:,} customers, as many as the plaintext join")
    print(
        f"trained        {algorithm} on {counts['rows_trained_on']:,} rows, {counts['rows_held_out']:,} held out, keys"
        f" of {bank['public_configuration']['cipher.key_bits']} bits"
    )
    print(f"encrypted      {_told(metrics)}")
    found = plaintext_metrics(algorithm, parameters, ids, values, labels)
    if found is None:
        print("plaintext      not trained: install scikit-learn or xgboost to compare")
    else:
        print(f"plaintext      {_told(found[1])} ({found[0]}, the same rows in the clear)")
    print(
        f"seconds        {seconds:.2f} from start to end of both processes, {bank['seconds']['train']:.2f} in training"
    )
    print(
        f"bytes          {size(traffic['wire_bytes_sent'])} bank to telco, "
        f"{size(traffic['wire_bytes_received'])} telco to bank, mutual TLS"
    )
    if kept:
        if "html_report" in bank["outputs"]:
            print(f"report         {bank['outputs']['html_report']['paths'][0]}")
        for name in ("bank", "telco"):
            print(
                f"{name:<14} {folder / f'{name}.model.json'}\n{'':14} {folder / f'{name}.model.json.report.json'}"
            )
    else:
        print("files          removed; --work-dir DIRECTORY keeps data, certificates, models and reports")


def _told(metrics: dict[str, Any]) -> str:
    shown = [(name, metrics[name]) for name in ("auc", "ks", "rmse", "r2") if name in metrics]
    return ", ".join(f"{name.upper()} {value:.4f}" for name, value in shown)
