# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def option(flag: str, help: str) -> Any:
    """Without a default in the help: that of a field of the configuration file."""
    return typer.Option(flag, help=help, show_default=False)


Config = Annotated[str | None, option("--config", "YAML or JSON file; flags override its fields.")]
Party = Annotated[str | None, option("--party", "Own name, as in one's certificate.")]
Peer = Annotated[str | None, option("--peer", "The other party's name.")]
Listen = Annotated[str | None, option("--listen", "host:port to wait on.")]
Connect = Annotated[str | None, option("--connect", "host:port of the listening party.")]
TlsCa = Annotated[str | None, option("--tls-ca", "PEM file of the authority both trust.")]
TlsCertificate = Annotated[str | None, option("--tls-certificate", "PEM file of one's certificate.")]
TlsKey = Annotated[str | None, option("--tls-key", "PEM file of its private key.")]
Insecure = Annotated[
    bool | None, option("--insecure/--no-insecure", "Plain text, not authenticated: tests only.")
]
Input = Annotated[list[str] | None, option("--input", "File, directory or glob; may be repeated.")]
InputFormat = Annotated[str | None, option("--input-format", "auto, csv, parquet or arrow.")]
InputQuery = Annotated[
    str | None, option("--input-query", "Instead of files: a SELECT to a PostgreSQL database.")
]
InputUri = Annotated[
    str | None, option("--input-uri", "Its postgresql://user@host:5432/database, without a password.")
]
InputUriEnv = Annotated[
    str | None, option("--input-uri-env", "Environment variable that holds the URI, with a password.")
]
CsvDelimiter = Annotated[str | None, option("--csv-delimiter", "One character.")]
CsvHeader = Annotated[
    bool | None, option("--csv-header/--no-csv-header", "Whether the first record names the columns.")
]
CsvColumnName = Annotated[
    list[str] | None, option("--csv-column-name", "Column names of a file without header; repeat.")
]
CsvQuoteChar = Annotated[str | None, option("--csv-quote-char", "One character.")]
CsvNullValue = Annotated[
    list[str] | None, option("--csv-null-value", "Unquoted text that means NULL; repeat.")
]
CsvInferTypes = Annotated[
    bool | None, option("--csv-infer-types/--no-csv-infer-types", "Numbers and dates instead of text.")
]
Key = Annotated[
    list[str] | None,
    option("--key", "Key column, or column:type (string, int, bytes, date); repeat."),
]
Hash = Annotated[str | None, option("--hash", "sha256, sm3 or blake3.")]
NullPolicy = Annotated[str | None, option("--null-policy", "NULL keys: ignore or error.")]
Threads = Annotated[int | None, option("--threads", "Threads for the kernels.")]
Patience = Annotated[float | None, option("--patience", "Seconds a lost peer is waited for.")]
Json = Annotated[bool, typer.Option("--json", help="Print the run report instead of a summary.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no warnings.")]
Schema = Annotated[bool, typer.Option("--schema", help="Print the JSON schema of the configuration file.")]
