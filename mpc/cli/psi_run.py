# SPDX-License-Identifier: Apache-2.0
"""`crypsis psi run`: a flag for every field of the configuration file, the run, and its summary."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from crypsis.mpc.cli.options import (
    Config,
    Connect,
    CsvColumnName,
    CsvDelimiter,
    CsvHeader,
    CsvInferTypes,
    CsvNullValue,
    CsvQuoteChar,
    Hash,
    Input,
    InputFormat,
    InputQuery,
    InputUri,
    InputUriEnv,
    Insecure,
    Json,
    Key,
    Listen,
    NullPolicy,
    Party,
    Patience,
    Peer,
    Quiet,
    Threads,
    TlsCa,
    TlsCertificate,
    TlsKey,
    option,
)

if TYPE_CHECKING:
    from crypsis.mpc.psi.report import RunReport

# Parameter of `psi_run` -> place in the configuration, where it is not the name itself.
_PLACES = {
    "tls_ca": "tls.ca",
    "tls_certificate": "tls.certificate",
    "tls_key": "tls.key",
    "input_path": "input.path",
    "input_format": "input.format",
    "input_query": "input.query",
    "input_uri": "input.uri",
    "input_uri_env": "input.uri_env",
    "csv_delimiter": "input.csv.delimiter",
    "csv_header": "input.csv.header",
    "csv_column_name": "input.csv.column_names",
    "csv_quote_char": "input.csv.quote_char",
    "csv_null_value": "input.csv.null_values",
    "csv_infer_types": "input.csv.infer_types",
    "key": "keys",
    "output_path": "output.path",
    "output_format": "output.format",
    "output_column": "output.columns",
    "overwrite": "output.overwrite",
    "indicator": "output.indicator",
    "null_rep": "output.null_rep",
}
_NOT_FIELDS = ("config", "json_output", "quiet")
_KEY_TYPES = ("string", "int", "bytes", "date")


def psi_run(
    config: Config = None,
    party: Party = None,
    peer: Peer = None,
    role: Annotated[str | None, option("--role", "receiver (learns the intersection) or sender.")] = None,
    listen: Listen = None,
    connect: Connect = None,
    tls_ca: TlsCa = None,
    tls_certificate: TlsCertificate = None,
    tls_key: TlsKey = None,
    insecure: Insecure = None,
    input_path: Input = None,
    input_format: InputFormat = None,
    input_query: InputQuery = None,
    input_uri: InputUri = None,
    input_uri_env: InputUriEnv = None,
    csv_delimiter: CsvDelimiter = None,
    csv_header: CsvHeader = None,
    csv_column_name: CsvColumnName = None,
    csv_quote_char: CsvQuoteChar = None,
    csv_null_value: CsvNullValue = None,
    csv_infer_types: CsvInferTypes = None,
    key: Key = None,
    output_path: Annotated[str | None, option("--output", "File for one's own rows of the join.")] = None,
    output_format: Annotated[str | None, option("--output-format", "auto, csv, parquet or arrow.")] = None,
    output_column: Annotated[
        list[str] | None, option("--output-column", "Own column to write; repeat. Default: all.")
    ] = None,
    overwrite: Annotated[
        bool | None, option("--overwrite/--no-overwrite", "Replace an existing output.")
    ] = None,
    indicator: Annotated[
        str | None, option("--indicator", "Add a bool column of this name: the key is in both sets.")
    ] = None,
    null_rep: Annotated[str | None, option("--null-rep", "What NULL looks like in a CSV output.")] = None,
    report: Annotated[
        str | None, option("--report", "JSON run report. Default: <output>.report.json beside the output.")
    ] = None,
    protocol: Annotated[str | None, option("--protocol", "auto, vole or ecdh.")] = None,
    security: Annotated[
        str | None, option("--security", "semi-honest, or malicious (protocol vole).")
    ] = None,
    setting: Annotated[str | None, option("--setting", "Of vole: fast or low-communication.")] = None,
    bandwidth: Annotated[
        str | None, option("--bandwidth", "Of the line to the peer, such as 100Mbps; for protocol auto.")
    ] = None,
    broadcast: Annotated[
        bool | None, option("--broadcast/--no-broadcast", "Both parties learn the intersection.")
    ] = None,
    join: Annotated[str | None, option("--join", "inner, left, right, full or difference.")] = None,
    left: Annotated[str | None, option("--left", "Which role is the left table: receiver or sender.")] = None,
    align: Annotated[
        bool | None, option("--align/--no-align", "With broadcast: both outputs line up row by row.")
    ] = None,
    hash: Hash = None,
    job: Annotated[str | None, option("--job", "Public job name; both parties give the same.")] = None,
    null_policy: NullPolicy = None,
    batch_size: Annotated[int | None, option("--batch-size", "Keys a message.")] = None,
    threads: Threads = None,
    device: Annotated[
        str | None, option("--device", "Where keys are worked on: cpu, auto, cuda:0 or cuda:0,cuda:1.")
    ] = None,
    patience: Patience = None,
    max_output_rows: Annotated[
        int | None, option("--max-output-rows", "Refuse a join with more rows.")
    ] = None,
    memory: Annotated[str | None, option("--memory", "What the job may take, such as 2GiB.")] = None,
    memory_mib: Annotated[
        int | None, option("--memory-mib", "Memory for gathering the output rows alone, in MiB.")
    ] = None,
    work_dir: Annotated[
        str | None, option("--work-dir", "Protocol vole: bins and ledger; the same command goes on from it.")
    ] = None,
    bin_rows: Annotated[
        int | None, option("--bin-rows", "Protocol vole: rows of a bin, as the peer.")
    ] = None,
    workers: Annotated[
        int | None, option("--workers", "Protocol vole: processes that exchange bins, as the peer.")
    ] = None,
    executor: Annotated[str | None, option("--executor", "Where workers run: local or ray.")] = None,
    ray_address: Annotated[str | None, option("--ray-address", "Of the Ray cluster.")] = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Intersect one's own file with the peer's; both parties run this at the same time.

    Results go to stdout, progress and errors to stderr. After an error there is no output file.
    """
    flags = {name: value for name, value in locals().items() if name not in _NOT_FIELDS and value is not None}
    import json
    import logging

    from crypsis.mpc.cli.progress import progress_bars
    from crypsis.mpc.psi.config import load_config
    from crypsis.mpc.psi.files import run_job

    if quiet:
        logging.getLogger().setLevel(logging.ERROR)
    job_config = load_config(config, overrides_of(flags))
    with progress_bars(job_config.party, enabled=not quiet) as progress:
        result = run_job(job_config, config_file=config, progress=progress)
    if json_output:
        print(json.dumps(result.as_dict(), indent=2))
    else:
        for line in summary(result, job_config.report_path):
            print(line)
    sys.stdout.flush()


def overrides_of(flags: dict[str, Any], places: dict[str, str] | None = None) -> dict[str, Any]:
    """Flags that were given, nested as the configuration file is; `places` adds to what is nested."""
    known = _PLACES | (places or {})
    nested: dict[str, Any] = {}
    for name, value in flags.items():
        *parents, last = known.get(name, name).split(".")
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
        if name == "key":
            value = [_key_of(text) for text in value]
        elif name == "input_path" and len(value) == 1:
            value = value[0]
        if isinstance(value, list) and not value:
            continue
        level[last] = value
    return nested


def _key_of(text: str) -> dict[str, str]:
    name, colon, key_type = text.rpartition(":")
    return {"name": name, "type": key_type} if colon and name and key_type in _KEY_TYPES else {"name": text}


def summary(report: RunReport, report_path: str | None) -> list[str]:
    """What a person wants to know of a run, in a few lines."""
    outcome, stats = report.outcome, report.stats
    peers = "rows with a key" if report.options.protocol == "vole" else "distinct keys"
    nulls = f", {outcome.n_null:,} of them with a NULL key" if outcome.n_null else ""
    lines = [
        f"own rows       {outcome.n_rows:,} ({outcome.n_unique:,} distinct keys{nulls})",
        f"peer           {report.peer}: {outcome.n_peer_unique:,} {peers}",
        f"protocol       {report.options.protocol} ({report.why})",
    ]
    if report.devices.asked != "cpu":
        lines.append(f"device         {report.devices} ({report.devices.why})")
    if outcome.n_matched is None:
        lines.append("intersection   not for this party (sender without broadcast)")
    else:
        lines.append(f"intersection   {outcome.n_matched:,} keys")
    if report.output is not None:
        lines.append(
            f"output         {report.output.paths[0]} "
            f"({report.output_rows:,} rows, {size(report.output.n_bytes)})"
        )
    if report_path is not None:
        lines.append(f"report         {report_path}")
    lines.append(
        f"took           {report.total_seconds:.2f} s, {size(stats.wire_bytes_sent)} sent, "
        f"{size(stats.wire_bytes_received)} received"
    )
    return lines


def size(n_bytes: int) -> str:
    """Bytes in the largest unit that keeps a digit before the point."""
    value = float(n_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} TB"
