# SPDX-License-Identifier: Apache-2.0
"""`crypsis train`: the run of one party's training, and its summary."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from crypsis.mpc.cli.options import (
    Config,
    Connect,
    Input,
    Json,
    Listen,
    Patience,
    Quiet,
    Schema,
    Threads,
    option,
)
from crypsis.mpc.cli.psi_run import overrides_of, size

_NOT_FIELDS = ("config", "json_output", "quiet", "schema")


def train(
    config: Config = None,
    listen: Listen = None,
    connect: Connect = None,
    input_path: Input = None,
    model: Annotated[str | None, option("--model", "File for one's own part of the model.")] = None,
    work_dir: Annotated[
        str | None, option("--work-dir", "Checkpoints; the same command goes on from them.")
    ] = None,
    overwrite: Annotated[
        bool | None, option("--overwrite/--no-overwrite", "Replace an existing model.")
    ] = None,
    threads: Threads = None,
    patience: Patience = None,
    report: Annotated[
        str | None, option("--report", "JSON run report. Default: <model>.report.json beside the model.")
    ] = None,
    schema: Schema = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on one's own columns and the peer's; both parties run this at the same time.

    A party that died, and its peer, go on with the same command from the last epoch or tree that both have.
    """
    flags = {name: value for name, value in locals().items() if name not in _NOT_FIELDS and value is not None}
    import json

    from crypsis.mpc.cli.progress import progress_bars
    from crypsis.mpc.learning.config import TrainConfig, learning_schema, load_learning
    from crypsis.mpc.learning.job import run_train

    if schema:
        print(json.dumps(learning_schema(TrainConfig), indent=2))
        return
    hush(quiet)
    job = load_learning(TrainConfig, config, overrides_of(flags, {"overwrite": "overwrite"}))
    with progress_bars(job.party, enabled=not quiet) as progress:
        result = run_train(job, config_file=config, progress=progress)
    tell(result, job.report_path, json_output)


def hush(quiet: bool) -> None:
    """Errors only."""
    import logging

    if quiet:
        logging.getLogger().setLevel(logging.ERROR)


def tell(report: dict[str, Any], report_path: str | None, json_output: bool) -> None:
    """Prints the report, or a summary of it."""
    import json

    if json_output:
        print(json.dumps(report, indent=2))
    else:
        for line in summary(report, report_path):
            print(line)
    sys.stdout.flush()


def summary(report: dict[str, Any], report_path: str | None) -> list[str]:
    """What a person wants to know of a run, in a few lines."""
    counts, traffic = report["counts"], report["traffic"]
    lines = [f"own rows       {counts['rows']:,} with {counts['columns']:,} columns"]
    if counts.get("matched_keys") is not None:
        lines.append(f"intersection   {counts['matched_keys']:,} keys")
    if report["kind"] == "train":
        lines.append(
            f"algorithm      {report['protocol']['name']} on {counts['rows_trained_on']:,} rows"
            + (f", {counts['rows_held_out']:,} held out" if counts["rows_held_out"] else "")
        )
        if report["resumed_after"] is not None:
            lines.append(f"resumed        after step {report['resumed_after']}")
        lines += metric_lines(report["metrics"])
    else:
        lines.append(f"scored         {counts['scored_rows']:,} rows with {report['protocol']['name']}")
    for name, record in report["outputs"].items():
        lines.append(f"{name.replace('_', ' '):<14} {record['paths'][0]} ({size(record['n_bytes'])})")
    if report_path is not None:
        lines.append(f"report         {report_path}")
    lines.append(
        f"took           {report['total_seconds']:.2f} s, {size(traffic['wire_bytes_sent'])} sent, "
        f"{size(traffic['wire_bytes_received'])} received"
    )
    return lines


def metric_lines(metrics: dict[str, Any] | None) -> list[str]:
    """The metrics on the rows evaluated; nothing at a host."""
    if metrics is None:
        return []
    told = ", ".join(
        f"{name.upper() if name in ('auc', 'ks') else name.replace('_', ' ')} {value:.4f}"
        for name, value in metrics.items()
        if isinstance(value, float)
    )
    return [f"evaluation     {told or metrics.get('remark', '')} ({metrics['evaluated_on']})"]
