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

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from crypsis.mpc.jobs.config import (
    OutputFileConfig,
    PartyConfig,
    load,
    parse,
    schema_of,
)
from crypsis.mpc.psi.devices import parse_devices
from crypsis.mpc.psi.layout import OUTER_ROWS
from crypsis.mpc.psi.memory import MIN_BYTES, Budget
from crypsis.mpc.psi.options import Join, Protocol, PsiOptions, Role, Security, Setting
from crypsis.mpc.psi.vole.session import own_threads

_MIB = 1 << 20
_UNITS = {"B": 1, "KIB": 1 << 10, "MIB": _MIB, "GIB": 1 << 30, "TIB": 1 << 40}
_RATES = {"BPS": 1, "KBPS": 10**3, "MBPS": 10**6, "GBPS": 10**9}
_Text = Annotated[str, Field(min_length=1)]


def parse_size(text: str) -> int:
    """Bytes in "2GiB", "512 MiB", "1048576B". ValueError for anything else."""
    return _with_unit(text, _UNITS, "a size with its unit, such as 512MiB or 2GiB")


def parse_rate(text: str) -> int:
    """Bits a second in "100Mbps", "1 Gbps". ValueError for anything else."""
    return _with_unit(text, _RATES, "a rate with its unit, such as 100Mbps or 1Gbps")


def _with_unit(text: str, units: dict[str, int], wanted: str) -> int:
    found = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]+)\s*", text)
    unit = units.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise ValueError(f"write {wanted}")
    return int(float(found[1]) * unit)


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
    protocol: Protocol | Literal["auto"] = Field(
        "auto", description="auto: the peer's choice, or by sizes and bandwidth; the report says why"
    )
    security: Security = Field("semi-honest", description="malicious needs protocol vole")
    setting: Setting = Field(
        "fast", description="of protocol vole: for fast lines, or for those below 100 Mbit/s"
    )
    bandwidth: _Text | None = Field(
        None, description="of the line between the parties, such as 100Mbps; for protocol auto"
    )
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
    device: _Text = Field(
        "cpu",
        description="where keys are worked on: cpu, auto, or GPUs, such as cuda:0 or cuda:0,cuda:1; each party's own",
    )
    memory: _Text = Field(
        "2GiB",
        description=f"memory that the job may take, at least {MIN_BYTES // _MIB}MiB; ECDH-PSI holds its keys beyond",
    )
    memory_mib: Annotated[int, Field(ge=16, le=1 << 24)] | None = Field(
        None, description="memory for gathering the payload alone, in MiB; default: an eighth of `memory`"
    )
    work_dir: _Text | None = Field(
        None,
        description="protocol vole: where bins and ledger are kept; default: beside the output or the report",
    )
    bin_rows: Annotated[int, Field(ge=1 << 10, le=1 << 26)] = Field(
        OUTER_ROWS, description="protocol vole: rows of a bin, the unit of resuming; both sides give the same"
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="protocol vole: processes that exchange bins; both sides give the same"
    )
    executor: Literal["local", "ray"] = Field(
        "local", description="where workers run: on this machine, or on a Ray cluster"
    )
    ray_address: _Text | None = Field(None, description="of the Ray cluster; default: one on this machine")

    @field_validator("memory")
    @classmethod
    def _memory(cls, value: str) -> str:
        if not MIN_BYTES <= parse_size(value) <= 1 << 46:
            raise ValueError(
                f"{value} is less than the program itself and its buffers take, or above 64TiB: give at least "
                f"{MIN_BYTES // _MIB}MiB"
            )
        return value

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        parse_devices(value)
        return value

    @field_validator("bandwidth")
    @classmethod
    def _bandwidth(cls, value: str | None) -> str | None:
        if value is not None and not 1000 <= parse_rate(value) <= 10**13:
            raise ValueError("give at least 1Kbps and at most 10000Gbps")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> JobConfig:
        if self.protocol == "ecdh" and self.security == "malicious":
            raise ValueError("security is malicious, and protocol ecdh is semi-honest: use protocol vole")
        left = self.memory_bytes - self.budget().write_bytes(0) + self.gather_bytes
        if self.gather_bytes > left:
            raise ValueError(
                f"memory_mib is {self.memory_mib}, and {self.memory} of memory leave {left // _MIB} for it: raise "
                "memory, or lower memory_mib"
            )
        n_devices = len(parse_devices(self.device))
        if n_devices > 1 and self.protocol == "ecdh":
            raise ValueError(
                f"device is {self.device}: protocol ecdh works on one GPU; name one, or use protocol vole"
            )
        if n_devices > self.workers:
            raise ValueError(
                f"device is {self.device}, and workers is {self.workers}: a worker works on one GPU; set workers to "
                f"{n_devices} or more at both parties, or name fewer GPUs"
            )
        if self.executor == "ray" and self.device != "cpu":
            raise ValueError(
                f"device is {self.device}, and executor is ray: GPUs are those of this machine; set executor to local, "
                "or device to cpu"
            )
        if self.ray_address is not None and self.executor != "ray":
            raise ValueError(
                "ray_address is set, and executor is local: set executor to ray, or remove ray_address"
            )
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

    @property
    def memory_bytes(self) -> int:
        """What the job may take."""
        return parse_size(self.memory)

    @property
    def gather_bytes(self) -> int:
        """What gathering the payload may take."""
        return self.memory_mib << 20 if self.memory_mib is not None else self.memory_bytes // 8

    def budget(self) -> Budget:
        """How `memory` is divided."""
        return Budget(
            memory=self.memory_bytes,
            gather=self.gather_bytes,
            workers=self.workers,
            threads=self.threads or own_threads(),
        )

    @property
    def bandwidth_bps(self) -> int | None:
        """Bits a second; None where nothing is said."""
        return parse_rate(self.bandwidth) if self.bandwidth is not None else None

    @property
    def work_path(self) -> str:
        """Where bins and ledger of protocol vole are kept."""
        if self.work_dir is not None:
            return self.work_dir
        beside = self.output.path if self.output is not None else self.report_path
        return f"{beside}.work" if beside is not None else f"crypsis-{self.party}.work"

    def options(self, protocol: Protocol | None = None) -> PsiOptions:
        """The part that the protocol sees; `protocol` is what auto came to."""
        chosen = protocol or self.protocol
        if chosen == "auto":
            chosen = "vole" if self.security == "malicious" else "ecdh"
        return PsiOptions(
            role=self.role,
            keys=self.key_specs(),
            protocol=chosen,
            security=self.security,
            setting=self.setting,
            broadcast=self.broadcast,
            join=self.join,
            left=self.left,
            align=self.align,
            hash=self.hash,
            job=self.job,
            null_policy=self.null_policy,
            batch_size=self.batch_size,
            threads=self.threads,
            device=self.device,
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
