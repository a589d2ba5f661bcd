# SPDX-License-Identifier: Apache-2.0
"""The two configurations of a private list query between files: `ServeConfig` at the owner, `AskConfig` at the querier.

    party: exchange                        party: broker
    peer: broker                           peer: exchange
    listen: 0.0.0.0:7400                   connect: exchange.example:7400
    tls: {ca: ..., ...}                    tls: {ca: ..., ...}
    input: blacklist.parquet               input: applicants.csv
    keys: [account]                        keys: [applicant]
    list_name: exchange/blacklist          list_name: exchange/blacklist
    prefix_bits: 6                         prefix_bits: 6
    report: exchange.report.json           output: answers.parquet

The conventions are those of `crypsis psi run`: `crypsis.mpc.jobs.config`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field, field_validator

from crypsis.mpc.jobs.config import OutputFileConfig, PartyConfig, load, refuse_twice, schema_of
from crypsis.mpc.pir.lists import MAX_CAPACITY
from crypsis.mpc.pir.options import MAX_QUERIES, OwnerOptions, QuerierOptions, QueryOptions
from crypsis.mpc.pir.ot_query import MAX_PREFIX_BITS
from crypsis.mpc.pir.records import MAX_ROWS, MAX_TEXT_BYTES

_Text = Annotated[str, Field(min_length=1)]
_Texts = Annotated[list[_Text], Field(min_length=1)]


class QueryConfig(PartyConfig):
    """What both configurations have."""

    list_name: Annotated[str, Field(min_length=1, max_length=256)] = Field(
        description="public name of the list, which salts the digests; the same at both, for as long as the list lives"
    )
    prefix_bits: Annotated[int, Field(ge=0, le=MAX_PREFIX_BITS)] = Field(
        0,
        description="bits of each identifier's digest that the owner learns; each halves the cost; the same at both",
    )

    def options(self) -> QueryOptions:
        """The part that both parties need."""
        return QueryOptions(
            keys=self.key_specs(),
            list_name=self.list_name,
            prefix_bits=self.prefix_bits,
            hash=self.hash,
            null_policy=self.null_policy,
            threads=self.threads,
        )


class ServeConfig(QueryConfig):
    """The owner's job: a list, and what of it may be asked."""

    schema_command: ClassVar[str] = "crypsis query schema serve"
    path_fields: ClassVar[tuple[str, ...]] = (*QueryConfig.path_fields, "ledger")

    columns: _Texts | None = Field(None, description="payload columns to give; default: all but the keys")
    capacity: Annotated[int, Field(ge=1, le=MAX_CAPACITY)] | None = Field(
        None, description="keys the list may have, public; default: their number, rounded up"
    )
    max_rows: Annotated[int, Field(ge=1, le=MAX_ROWS)] = Field(
        1, description="rows a key may have, public; every record has room for them"
    )
    text_bytes: Annotated[int, Field(ge=1, le=MAX_TEXT_BYTES)] | None = Field(
        None, description="bytes of a text, public; default: the longest of its column, rounded up to 16"
    )
    max_queries: Annotated[int, Field(ge=1, le=MAX_QUERIES)] = Field(1000, description="queries of one job")
    ledger: _Text | None = Field(None, description="JSON-lines file that counts the queries of each peer")
    max_queries_in_all: Annotated[int, Field(ge=1, le=1 << 40)] | None = Field(
        None, description="queries of this peer about this list over all jobs in the ledger"
    )

    @field_validator("columns")
    @classmethod
    def _distinct_columns(cls, value: list[str] | None) -> list[str] | None:
        refuse_twice(value or [])
        return value

    @property
    def report_path(self) -> str | None:
        """Where the run report goes."""
        return self.report

    def owner_options(self) -> OwnerOptions:
        """What the owner decides."""
        return OwnerOptions(
            columns=tuple(self.columns) if self.columns is not None else None,
            capacity=self.capacity,
            max_rows=self.max_rows,
            text_bytes=self.text_bytes,
            max_queries=self.max_queries,
        )


class AnswersConfig(OutputFileConfig):
    """Where the querier's rows go, each with what the list has of it."""

    found: _Text = Field(
        "found", description="name of the bool column that says whether the key is on the list"
    )


class AskConfig(QueryConfig):
    """The querier's job: identifiers to ask for, and where the answers go."""

    schema_command: ClassVar[str] = "crypsis query schema ask"

    output: AnswersConfig
    pad_queries: Annotated[int, Field(ge=1, le=MAX_QUERIES)] | None = Field(
        None,
        description="queries that the owner sees, made-up ones among them; default: the number of distinct keys",
    )
    min_bucket: Annotated[int, Field(ge=1, le=MAX_CAPACITY)] = Field(
        1, description="refuse buckets of fewer entries than that"
    )
    max_traffic_mib: Annotated[int, Field(ge=1, le=1 << 30)] = Field(
        4096, description="refuse answers that take more"
    )

    @property
    def report_path(self) -> str:
        """Where the run report goes: `report`, or beside the output."""
        return self.report if self.report is not None else f"{self.output.path}.report.json"

    def querier_options(self) -> QuerierOptions:
        """What the querier decides."""
        return QuerierOptions(
            pad_queries=self.pad_queries,
            min_bucket=self.min_bucket,
            max_traffic_mib=self.max_traffic_mib,
        )


Query = TypeVar("Query", ServeConfig, AskConfig)


def load_query(model: type[Query], path: str | None, overrides: dict[str, Any]) -> Query:
    """The job in `path` (None: none) with `overrides`. Raises ConfigError, one line a problem."""
    return load(model, path, overrides)


def query_schema(model: type[Query]) -> dict[str, Any]:
    """JSON schema of the configuration file."""
    return schema_of(model, f"Crypsis private list query, {'serve' if model is ServeConfig else 'ask'}")
