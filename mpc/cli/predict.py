# SPDX-License-Identifier: Apache-2.0
"""`crypsis predict`: scores of one's own rows with a model that two parties trained."""

from __future__ import annotations

from typing import Annotated

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
from crypsis.mpc.cli.psi_run import overrides_of
from crypsis.mpc.cli.train import hush, tell

_NOT_FIELDS = ("config", "json_output", "quiet", "schema")


def predict(
    config: Config = None,
    listen: Listen = None,
    connect: Connect = None,
    input_path: Input = None,
    model: Annotated[str | None, option("--model", "File of one's own part of the model.")] = None,
    output_path: Annotated[str | None, option("--output", "File for the scores.")] = None,
    overwrite: Annotated[
        bool | None, option("--overwrite/--no-overwrite", "Replace an existing output.")
    ] = None,
    threads: Threads = None,
    patience: Patience = None,
    report: Annotated[
        str | None, option("--report", "JSON run report. Default: <output>.report.json beside the output.")
    ] = None,
    schema: Schema = False,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score rows with a model that both parties trained; both run this at the same time.

    The guest gets the scores, and with share_result the host too. After an error there is no output file.
    """
    flags = {name: value for name, value in locals().items() if name not in _NOT_FIELDS and value is not None}
    import json

    from crypsis.mpc.cli.progress import progress_bars
    from crypsis.mpc.learning.config import PredictConfig, learning_schema, load_learning
    from crypsis.mpc.learning.predict_job import run_predict

    if schema:
        print(json.dumps(learning_schema(PredictConfig), indent=2))
        return
    hush(quiet)
    job = load_learning(PredictConfig, config, overrides_of(flags))
    with progress_bars(job.party, enabled=not quiet) as progress:
        result = run_predict(job, config_file=config, progress=progress)
    tell(result, job.report_path, json_output)
