# SPDX-License-Identifier: Apache-2.0
"""What a PSI job between files is, as a YAML or JSON file, as flags, or both: `JobConfig`.

    party: bank                      # own name, as in one's certificate
    peer: telco
    role: receiver
    listen: 0.0.0.0:7400             # the other party has `connect: bank.example:7400`
    tls: {ca: ca.pem, certificate: bank.pem, key: bank.key}
    input: customers.parquet
    keys: [id]
    output: matched.parquet

Relative paths in a file are relative to that file; relative paths in flags are relative to the working
directory. Flags override the file field by field. Everything that is wrong is told at once, one line a field.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from crypsis.mpc.jobs.config import (
    OutputFileConfig,
    PartyConfig,
    load,
    parse,
    schema_of,
)
from crypsis.mpc.psi.options import Join, Protocol, PsiOptions, Role

_Text = Annotated[str, Field(min_length=1)]


class OutputConfig(OutputFileConfig):
    """Where one's own rows of the join go."""

    indicator: _Text | None = Field(
        None, description="name of a bool column to add: the row's key is in both sets"
    )


class JobConfig(PartyConfig):
    """One party's PSI job: who, with whom, on which files, and how."""

    schema_command: ClassVar[str] = "crypsis psi schema"

    role: Role = Field(description="the receiver learns the intersection; the sender only with `broadcast`")
    output: OutputConfig | None = Field(None, description="required for a party that learns the intersection")
    protocol: Protocol = "ecdh"
    broadcast: bool = Field(False, description="both parties learn the intersection")
    join: Join = Field("inner", description="which of one's own rows to keep")
    left: Role = Field("receiver", description="which role is the left table of the join")
    align: bool = Field(True, description="with broadcast: both outputs have the same rows in the same order")
    job: Annotated[str, Field(max_length=256)] = Field(
        "", description="public job name; both sides give the same"
    )
    batch_size: Annotated[int, Field(ge=1, le=1 << 17)] = Field(16384, description="keys a message")
    max_output_rows: Annotated[int, Field(ge=1, le=1 << 40)] | None = Field(
        None, description="refuse a join that duplicates blow up beyond this"
    )
    memory_mib: Annotated[int, Field(ge=16, le=1 << 24)] = Field(
        256, description="memory for gathering the payload; more is gathered in several passes"
    )

    @model_validator(mode="after")
    def _consistent(self) -> JobConfig:
        if self.has_output and self.output is None:
            raise ValueError("output is missing: this party learns the intersection; say where it goes")
        if not self.has_output and self.output is not None:
            raise ValueError(
                "output is set, but a sender without broadcast learns nothing; remove it or set broadcast"
            )
        return self

    @property
    def has_output(self) -> bool:
        """This party learns the intersection."""
        return self.role == "receiver" or self.broadcast

    @property
    def report_path(self) -> str | None:
        """Where the run report goes: `report`, or beside the output; None without either."""
        if self.report is not None:
            return self.report
        return f"{self.output.path}.report.json" if self.output is not None else None

    def options(self) -> PsiOptions:
        """The part that the protocol sees."""
        return PsiOptions(
            role=self.role,
            keys=self.key_specs(),
            protocol=self.protocol,
            broadcast=self.broadcast,
            join=self.join,
            left=self.left,
            align=self.align,
            hash=self.hash,
            job=self.job,
            null_policy=self.null_policy,
            batch_size=self.batch_size,
            threads=self.threads,
            max_output_rows=self.max_output_rows,
        )


def load_config(path: str | None, overrides: dict[str, Any]) -> JobConfig:
    """The job in `path` (None: none) with `overrides`, nested as the file is. Raises ConfigError, one line a
    problem."""
    return load(JobConfig, path, overrides)


def parse_config(raw: dict[str, Any], where: str | None = None) -> JobConfig:
    """Checks `raw`; `where` names its file in messages."""
    return parse(JobConfig, raw, where)


def job_schema() -> dict[str, Any]:
    """JSON schema of the configuration file, short forms included."""
    return schema_of(JobConfig, "Crypsis PSI job")
