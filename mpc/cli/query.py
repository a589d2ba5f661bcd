# SPDX-License-Identifier: Apache-2.0
"""`crypsis query serve` and `crypsis query ask`: flags for the fields of their configuration files, and a summary."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from crypsis.mpc.cli.psi_run import overrides_of, size

if TYPE_CHECKING:
    from crypsis.mpc.pir.report import QueryReport

query = typer.Typer(help="Ask another party's list without saying what for.", no_args_is_help=True)
_PLACES = {"found": "output.found"}
_NOT_FIELDS = ("config", "json_output", "quiet")

_ListName = Annotated[str | None, option("--list-name", "Public name of the list; the same at both.")]
_PrefixBits = Annotated[
    int | None, option("--prefix-bits", "Bits of a digest that the owner learns; the same at both.")
]
_Report = Annotated[str | None, option("--report", "JSON run report.")]


@query.command("serve")
def query_serve(
    config: Config = None,
    party: Party = None,
    peer: Peer = None,
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
    list_name: _ListName = None,
    prefix_bits: _PrefixBits = None,
    columns: Annotated[
        list[str] | None, option("--column", "Payload column to give; repeat. Default: all but the keys.")
    ] = None,
    capacity: Annotated[int | None, option("--capacity", "Keys the list may have, public.")] = None,
    max_rows: Annotated[int | None, option("--max-rows", "Rows a key may have, public.")] = None,
    text_bytes: Annotated[int | None, option("--text-bytes", "Bytes of a text, public.")] = None,
    max_queries: Annotated[int | None, option("--max-queries", "Queries of one job.")] = None,
    ledger: Annotated[
        str | None, option("--ledger", "JSON-lines file that counts the queries of each peer.")
    ] = None,
    max_queries_in_all: Annotated[
        int | None, option("--max-queries-in-all", "Queries of this peer over all jobs in the ledger.")
    ] = None,
    hash: Hash = None,
    null_policy: NullPolicy = None,
    threads: Threads = None,
    patience: Patience = None,
    report: _Report = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Answer one job of queries about one's own list; the peer runs `crypsis query ask` at the same time.

    The peer learns the records of the identifiers that it asks for. This party learns `--prefix-bits` bits of each.
    """
    flags = {name: value for name, value in locals().items() if name not in _NOT_FIELDS and value is not None}
    from crypsis.mpc.cli.progress import progress_bars
    from crypsis.mpc.pir.config import ServeConfig, load_query
    from crypsis.mpc.pir.files import serve_files

    _hush(quiet)
    job = load_query(ServeConfig, config, overrides_of(flags, _PLACES))
    with progress_bars(job.party, enabled=not quiet) as progress:
        result = serve_files(job, config_file=config, progress=progress)
    _tell(result, job.report_path, json_output)


@query.command("ask")
def query_ask(
    config: Config = None,
    party: Party = None,
    peer: Peer = None,
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
    list_name: _ListName = None,
    prefix_bits: _PrefixBits = None,
    output_path: Annotated[
        str | None, option("--output", "File for one's own rows with the answers.")
    ] = None,
    output_format: Annotated[str | None, option("--output-format", "auto, csv, parquet or arrow.")] = None,
    output_column: Annotated[
        list[str] | None, option("--output-column", "Own column to write; repeat. Default: all.")
    ] = None,
    found: Annotated[
        str | None, option("--found", "Name of the bool column that says whether a key is on the list.")
    ] = None,
    overwrite: Annotated[
        bool | None, option("--overwrite/--no-overwrite", "Replace an existing output.")
    ] = None,
    null_rep: Annotated[str | None, option("--null-rep", "What NULL looks like in a CSV output.")] = None,
    pad_queries: Annotated[
        int | None, option("--pad-queries", "Queries that the owner sees, made-up ones among them.")
    ] = None,
    min_bucket: Annotated[int | None, option("--min-bucket", "Refuse buckets of fewer entries.")] = None,
    max_traffic_mib: Annotated[
        int | None, option("--max-traffic-mib", "Refuse answers that take more.")
    ] = None,
    hash: Hash = None,
    null_policy: NullPolicy = None,
    threads: Threads = None,
    patience: Patience = None,
    report: _Report = None,
    json_output: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look one's own identifiers up on the peer's list; the peer runs `crypsis query serve` at the same time.

    The peer learns `--prefix-bits` bits of each identifier's digest and the number of queries, nothing else.
    """
    flags = {name: value for name, value in locals().items() if name not in _NOT_FIELDS and value is not None}
    from crypsis.mpc.cli.progress import progress_bars
    from crypsis.mpc.pir.config import AskConfig, load_query
    from crypsis.mpc.pir.files import ask_files

    _hush(quiet)
    job = load_query(AskConfig, config, overrides_of(flags, _PLACES))
    with progress_bars(job.party, enabled=not quiet) as progress:
        result = ask_files(job, config_file=config, progress=progress)
    _tell(result, job.report_path, json_output)


@query.command("schema")
def show_schema(which: Annotated[str, typer.Argument(help="serve or ask.")]) -> None:
    """Print the JSON schema of the configuration file of `serve` or `ask`."""
    import json

    from crypsis.errors import ConfigError
    from crypsis.mpc.pir.config import AskConfig, ServeConfig, query_schema

    if which not in ("serve", "ask"):
        raise ConfigError(f"schema of {which!r}: use serve or ask")
    print(json.dumps(query_schema(ServeConfig) if which == "serve" else query_schema(AskConfig), indent=2))


def _hush(quiet: bool) -> None:
    import logging

    if quiet:
        logging.getLogger().setLevel(logging.ERROR)


def _tell(result: QueryReport, report_path: str | None, json_output: bool) -> None:
    import json

    if json_output:
        print(json.dumps(result.as_dict(), indent=2))
    else:
        for line in summary(result, report_path):
            print(line)
    sys.stdout.flush()


def summary(report: QueryReport, report_path: str | None) -> list[str]:
    """What a person wants to know of a run, in a few lines."""
    counts: dict[str, Any] = report.counts
    agreed, stats = report.agreed, report.stats
    nulls = f", {counts['null_keys']:,} of them with a NULL key" if counts["null_keys"] else ""
    what = "list" if report.role == "owner" else "own rows"
    lines = [
        f"{what:<14} {counts['rows']:,} rows ({counts['unique_keys']:,} distinct keys{nulls})",
        f"queries        {agreed.n_queries:,} {'from' if report.role == 'owner' else 'to'} {report.peer}, "
        f"each among {agreed.shape.bound:,} entries, {agreed.shape.prefix_bits} bits shown",
    ]
    if report.role == "querier":
        lines.append(f"on the list    {counts['found_keys']:,} keys")
    if report.output is not None:
        lines.append(
            f"output         {report.output.paths[0]} ({counts['output_rows']:,} rows, {size(report.output.n_bytes)})"
        )
    if report_path is not None:
        lines.append(f"report         {report_path}")
    lines.append(
        f"took           {report.total_seconds:.2f} s, {size(stats.wire_bytes_sent)} sent, "
        f"{size(stats.wire_bytes_received)} received"
    )
    return lines
