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

import json
import os
from collections.abc import Hashable
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crypsis.errors import ConfigError
from crypsis.mpc.data import CsvOptions, KeySpec
from crypsis.mpc.psi.options import HashName, Join, NullPolicy, Protocol, PsiOptions, Role

KeyType = Literal["string", "int", "bytes", "date"]
Format = Literal["auto", "csv", "parquet", "arrow"]

_Text = Annotated[str, Field(min_length=1)]
_Character = Annotated[str, Field(min_length=1, max_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TlsConfig(_Model):
    """PEM files for mutual TLS: the authority both parties trust, one's own certificate, and its private
    key."""

    ca: _Text
    certificate: _Text
    key: _Text


class CsvConfig(_Model):
    """How a CSV input is read; columns are text unless `infer_types`."""

    delimiter: _Character | None = Field(None, description="default: a tab for .tsv, else a comma")
    header: bool = Field(True, description="whether the first record names the columns (else f0, f1, ...)")
    column_names: list[_Text] | None = Field(None, description="names for a file without a header")
    quote_char: _Character = '"'
    null_values: list[str] = Field([""], description="unquoted texts that mean NULL")
    infer_types: bool = Field(False, description="int64, float64 or date32 where every value is one")


class InputConfig(_Model):
    """One's own table."""

    path: _Text | Annotated[list[_Text], Field(min_length=1)] = Field(
        description="a file, a directory, a glob, or a list of them; their order defines the row order"
    )
    format: Format = Field("auto", description="auto: by the suffix")
    csv: CsvConfig | None = None


class KeyConfig(_Model):
    """A key column: one's own name for it, and the type both parties give it."""

    name: _Text
    type: KeyType = "string"


class OutputConfig(_Model):
    """Where one's own rows of the join go."""

    path: _Text
    format: Format = Field("auto", description="auto: by the suffix")
    columns: list[_Text] | None = Field(None, description="own columns to write; default: all")
    overwrite: bool = Field(False, description="replace an existing file")
    indicator: _Text | None = Field(
        None, description="name of a bool column to add: the row's key is in both sets"
    )
    null_rep: str = Field("", description="what NULL looks like in a CSV output")

    @field_validator("columns")
    @classmethod
    def _distinct_columns(cls, value: list[str] | None) -> list[str] | None:
        _refuse_twice(value or [])
        return value

    @field_validator("null_rep")
    @classmethod
    def _unquoted(cls, value: str) -> str:
        if any(c in value for c in ',"\r\n'):
            raise ValueError("a comma, a quote or a line end cannot stand in it; choose another text")
        return value


class JobConfig(_Model):
    """One party's PSI job: who, with whom, on which files, and how."""

    party: _Text = Field(description="own name, as in one's certificate")
    peer: _Text = Field(description="the other party's name, as in its certificate")
    role: Role = Field(description="the receiver learns the intersection; the sender only with `broadcast`")
    listen: _Text | None = Field(
        None, description="host:port to wait on; one party listens, the other connects"
    )
    connect: _Text | None = Field(None, description="host:port of the listening party")
    tls: TlsConfig | None = Field(None, description="mutual TLS; `crypsis certs` makes files for development")
    insecure: bool = Field(False, description="plain text, neither encrypted nor authenticated: tests only")
    input: InputConfig
    keys: list[KeyConfig] = Field(
        min_length=1, description="key columns in order; types must agree, names may differ"
    )
    output: OutputConfig | None = Field(None, description="required for a party that learns the intersection")
    report: _Text | None = Field(
        None, description="JSON run report; default <output>.report.json beside the output"
    )
    protocol: Protocol = "ecdh"
    broadcast: bool = Field(False, description="both parties learn the intersection")
    join: Join = Field("inner", description="which of one's own rows to keep")
    left: Role = Field("receiver", description="which role is the left table of the join")
    align: bool = Field(True, description="with broadcast: both outputs have the same rows in the same order")
    hash: HashName = "sha256"
    job: Annotated[str, Field(max_length=256)] = Field(
        "", description="public job name; both sides give the same"
    )
    null_policy: NullPolicy = Field("ignore", description="a NULL key matches nothing, or is an error")
    batch_size: Annotated[int, Field(ge=1, le=1 << 17)] = Field(16384, description="keys a message")
    threads: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="default: all cores allowed"
    )
    patience: Annotated[float, Field(gt=0, le=1e7)] = Field(
        300.0, description="seconds a lost peer is waited for"
    )
    max_output_rows: Annotated[int, Field(ge=1, le=1 << 40)] | None = Field(
        None, description="refuse a join that duplicates blow up beyond this"
    )
    memory_mib: Annotated[int, Field(ge=16, le=1 << 24)] = Field(
        256, description="memory for gathering the payload; more is gathered in several passes"
    )

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, raw: Any) -> Any:
        """`input: a.csv`, `output: b.csv` and `keys: id` or `keys: [id]` stand for the long forms."""
        if not isinstance(raw, dict):
            return raw
        raw = dict(raw)
        if isinstance(raw.get("input"), (str, list)):
            raw["input"] = {"path": raw["input"]}
        if isinstance(raw.get("output"), str):
            raw["output"] = {"path": raw["output"]}
        if isinstance(raw.get("keys"), str):
            raw["keys"] = [raw["keys"]]
        if isinstance(raw.get("keys"), list):
            raw["keys"] = [{"name": key} if isinstance(key, str) else key for key in raw["keys"]]
        return raw

    @field_validator("listen", "connect")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            host, colon, port = value.rpartition(":")
            if not (colon and host and port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
                raise ValueError(
                    "write host:port, as in 0.0.0.0:7400, with a port the peer knows (1 to 65535)"
                )
        return value

    @field_validator("keys")
    @classmethod
    def _distinct_keys(cls, value: list[KeyConfig]) -> list[KeyConfig]:
        _refuse_twice([key.name for key in value])
        return value

    @model_validator(mode="after")
    def _consistent(self) -> JobConfig:
        if (self.listen is None) == (self.connect is None):
            raise ValueError("give exactly one of listen and connect: one party listens, the other connects")
        if self.insecure and self.tls is not None:
            raise ValueError("insecure and tls are both set; remove one")
        if not self.insecure and self.tls is None:
            raise ValueError(
                "tls is missing: give tls.ca, tls.certificate and tls.key (`crypsis certs` makes them)"
            )
        if self.party == self.peer:
            raise ValueError(f"party and peer are both {self.party!r}; each party needs a name of its own")
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
            keys=tuple(KeySpec(key.name, key.type) for key in self.keys),
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

    def csv_options(self) -> CsvOptions | None:
        """How the input is read, if it is said to be CSV in detail."""
        csv = self.input.csv
        if csv is None:
            return None
        try:
            return CsvOptions(
                delimiter=csv.delimiter,
                header=csv.header,
                column_names=tuple(csv.column_names) if csv.column_names is not None else None,
                quote_char=csv.quote_char,
                null_values=tuple(csv.null_values),
                infer_types=csv.infer_types,
            )
        except ValueError as error:
            raise ConfigError(f"input.csv: {error}") from error


def _refuse_twice(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"column {name!r} is named twice; name it once")


def load_config(path: str | None, overrides: dict[str, Any]) -> JobConfig:
    """The job in `path` (None: none) with `overrides`, nested as the file is. Raises ConfigError, one line a
    problem."""
    raw = _read(path) if path is not None else {}
    if path is not None:
        _resolve_paths(raw, os.path.dirname(path))
    return parse_config(_merged(raw, overrides), path)


def parse_config(raw: dict[str, Any], where: str | None = None) -> JobConfig:
    """Checks `raw`; `where` names its file in messages."""
    try:
        return JobConfig.model_validate(raw)
    except ValidationError as error:
        prefix = f"{where}: " if where is not None else ""
        lines = dict.fromkeys(prefix + _told(dict(problem)) for problem in error.errors())
        raise ConfigError("\n".join(lines)) from error


def job_schema() -> dict[str, Any]:
    """JSON schema of the configuration file, short forms included."""
    schema = JobConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Crypsis PSI job"
    properties = schema["properties"]
    text = {"type": "string", "minLength": 1}
    texts = {"type": "array", "items": text, "minItems": 1}
    properties["input"] = {"anyOf": [properties["input"], text, texts]}
    properties["output"]["anyOf"].append(text)
    properties["keys"]["items"] = {"anyOf": [properties["keys"]["items"], text]}
    properties["keys"] = {"anyOf": [properties["keys"], text]}
    return schema


class _Loader(yaml.SafeLoader):
    """Refuses a key given twice, which YAML's own rule would let the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """One mapping with distinct keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key.value, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"field {key.value!r} is given twice; remove one", key.start_mark
                )
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            raw = json.load(file) if path.endswith(".json") else yaml.load(file, _Loader)  # noqa: S506 (a SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check --config") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: not valid JSON: {error.msg}; correct it") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigError(f"{path}:{line}: not valid YAML: {error.problem}; correct it") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            f"{path}: not valid YAML: {' '.join(str(error).split())[:120]}; correct it"
        ) from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds {_kind(raw)} where fields such as `party: bank` are expected")
    return raw


def _resolve_paths(raw: dict[str, Any], folder: str) -> None:
    """Makes the paths of a configuration file relative to its folder, in place."""

    def at(value: Any) -> Any:
        if isinstance(value, list):
            return [at(item) for item in value]
        return os.path.join(folder, value) if isinstance(value, str) and value else value

    for name in ("input", "output", "report"):
        value = raw.get(name)
        if isinstance(value, dict):
            raw[name] = {**value, "path": at(value["path"])} if "path" in value else value
        else:
            raw[name] = at(value)
        if raw[name] is None:
            del raw[name]
    if isinstance(raw.get("tls"), dict):
        raw["tls"] = {name: at(value) for name, value in raw["tls"].items()}


def _merged(raw: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    result = dict(raw)
    for name, value in overrides.items():
        if isinstance(value, dict):
            below = result.get(name)
            if name in ("input", "output") and isinstance(below, (str, list)):
                below = {"path": below}
            result[name] = _merged(below if isinstance(below, dict) else {}, value)
        else:
            result[name] = value
    # `--listen` on the command line replaces `connect:` of the file, and so on: one of each pair.
    for one, other in (
        ("listen", "connect"),
        ("connect", "listen"),
        ("insecure", "tls"),
        ("tls", "insecure"),
    ):
        if overrides.get(one) and other not in overrides:
            result.pop(other, None)
    return result


def _told(problem: dict[str, Any]) -> str:
    """One line for one of pydantic's findings: field, value, remedy."""
    # The branches of a union are no part of the file: drop their names from the place.
    parts = [
        str(p)
        for p in problem["loc"]
        if isinstance(p, int) or ("[" not in p and p not in ("str", "list", "constrained-str"))
    ]
    field = ".".join(parts)
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    shown = _shown(value)
    if kind == "value_error":
        reason = str(context["error"])
        return f"{field}: {shown}: {reason}" if field else reason
    if kind == "missing":
        return f"{field} is missing; add it"
    if kind == "extra_forbidden":
        return f"{field}: no such field; `crypsis psi schema` lists them"
    if kind == "literal_error":
        return f"{field}: {shown} is not known; use {context['expected']}"
    if kind.startswith(("string_", "int_", "bool_", "float_", "list_", "dict_", "model_")):
        return f"{field}: {shown} will not do: {problem['msg'][0].lower()}{problem['msg'][1:]}"
    return f"{field}: {shown}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
