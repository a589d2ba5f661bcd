# SPDX-License-Identifier: Apache-2.0
"""`crypsis predict`: scores of one's own rows with a model that two parties trained."""

from __future__ import annotations

from typing import Annotated

import typer

from crypsis.mpc.cli.psi_run import option, overrides_of
from crypsis.mpc.cli.train import hush, tell

_NOT_FIELDS = ("config", "json_output", "quiet", "schema")


def predict(
    config: Annotated[str | None, option("--config", "YAML or JSON file; flags override its fields.")] = None,
    listen: Annotated[str | None, option("--listen", "host:port to wait on.")] = None,
    connect: Annotated[str | None, option("--connect", "host:port of the listening party.")] = None,
    input_path: Annotated[
        list[str] | None, option("--input", "File, directory or glob; may be repeated.")
    ] = None,
    model: Annotated[str | None, option("--model", "File of one's own part of the model.")] = None,
    output_path: Annotated[str | None, option("--output", "File for the scores.")] = None,
    overwrite: Annotated[
        bool | None, option("--overwrite/--no-overwrite", "Replace an existing output.")
    ] = None,
    threads: Annotated[int | None, option("--threads", "Threads for the kernels.")] = None,
    patience: Annotated[float | None, option("--patience", "Seconds a lost peer is waited for.")] = None,
    report: Annotated[
        str | None, option("--report", "JSON run report. Default: <output>.report.json beside the output.")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of the configuration file.")
    ] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print the run report instead of a summary.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no warnings.")] = False,
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
