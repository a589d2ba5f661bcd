# SPDX-License-Identifier: Apache-2.0
"""The configuration of one party's job as a YAML or JSON file, as flags, or both: what all kinds of job share.

A kind of job derives its model from `PartyConfig`. Relative paths in a file are relative to that file; relative paths
in flags are relative to the working directory. Flags override the file field by field. Everything that is wrong is told
at once, one line a field.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Hashable
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.data import CsvOptions, KeySpec
from crypsis.mpc.data.database_uri import DatabaseUri

KeyType = Literal["string", "int", "bytes", "date"]
Format = Literal["auto", "csv", "parquet", "arrow"]
HashName = Literal["sha256", "sm3", "blake3"]
NullPolicy = Literal["ignore", "error"]

# With the rest of the word it stands in: in what is shown, nothing after it can be told from a password.
_DATABASE_URI = re.compile(r"postgres(?:ql)?:/.*", re.DOTALL | re.IGNORECASE)

_Text = Annotated[str, Field(min_length=1)]
_Character = Annotated[str, Field(min_length=1, max_length=1)]


def refuse_twice(names: list[str]) -> None:
    """ValueError for a column that is named twice."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"column {name!r} is named twice; name it once")


class JobModel(BaseModel):
    """Strict and frozen; no field that is not declared. Errors do not quote what was given: it may hold a password."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class TlsConfig(JobModel):
    """PEM files for mutual TLS: the authority both parties trust, one's own certificate, and its private
    key."""

    ca: _Text
    certificate: _Text
    key: _Text


class CsvConfig(JobModel):
    """How a CSV input is read; columns are text unless `infer_types`."""

    delimiter: _Character | None = Field(None, description="default: a tab for .tsv, else a comma")
    header: bool = Field(True, description="whether the first record names the columns (else f0, f1, ...)")
    column_names: list[_Text] | None = Field(None, description="names for a file without a header")
    quote_char: _Character = '"'
    null_values: list[str] = Field([""], description="unquoted texts that mean NULL")
    infer_types: bool = Field(False, description="int64, float64 or date32 where every value is one")


class InputConfig(JobModel):
    """One's own table: files, or a query to a database."""

    path: _Text | Annotated[list[_Text], Field(min_length=1)] | None = Field(
        None, description="a file, a directory, a glob, or a list of them; their order defines the row order"
    )
    format: Format = Field("auto", description="auto: by the suffix")
    csv: CsvConfig | None = None
    query: _Text | None = Field(None, description="instead of path: a SELECT to a PostgreSQL database")
    uri: SecretStr | None = Field(None, description="with query: postgresql://user@host:5432/database")
    uri_env: _Text | None = Field(
        None, description="with query, instead of uri: the environment variable that holds it"
    )

    @field_validator("path")
    @classmethod
    def _no_uri(cls, value: str | list[str] | None) -> str | list[str] | None:
        for path in [value] if isinstance(value, str) else value or []:
            if _DATABASE_URI.search(path):
                raise ValueError(
                    "is a database, not a file; give input.query, and input.uri or input.uri_env"
                )
        return value

    @field_validator("uri")
    @classmethod
    def _well_formed(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                DatabaseUri.parse(value.get_secret_value())
            except DataError as error:
                raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.path is None) == (self.query is None):
            raise ValueError(
                "give path or query, not both"
                if self.path is not None
                else "give path (files) or query (a database)"
            )
        if self.query is None:
            if self.uri is not None or self.uri_env is not None:
                raise ValueError("uri and uri_env belong to a query; add query, or remove them")
            return self
        if (self.uri is None) == (self.uri_env is None):
            raise ValueError(
                "a query needs exactly one of uri (postgresql://user@host:5432/database) and uri_env (the environment "
                "variable that holds it, for a password's sake)"
            )
        if self.format != "auto" or self.csv is not None:
            raise ValueError("format and csv belong to files, not to a query; remove them")
        return self

    def database_uri(self) -> str:
        """Where the query goes. Raises ConfigError where the environment variable is not set."""
        if self.uri is not None:
            return self.uri.get_secret_value()
        uri = os.environ.get(self.uri_env or "")
        if not uri:
            raise ConfigError(
                f"input.uri_env: the environment variable {self.uri_env!r} is not set; export it as "
                "postgresql://user:password@host:5432/database"
            )
        return uri


class KeyConfig(JobModel):
    """A key column: one's own name for it, and the type both parties give it."""

    name: _Text
    type: KeyType = "string"


class OutputFileConfig(JobModel):
    """An output file of one's own rows."""

    path: _Text
    format: Format = Field("auto", description="auto: by the suffix")
    columns: list[_Text] | None = Field(None, description="own columns to write; default: all")
    overwrite: bool = Field(False, description="replace an existing file")
    null_rep: str = Field("", description="what NULL looks like in a CSV output")

    @field_validator("columns")
    @classmethod
    def _distinct_columns(cls, value: list[str] | None) -> list[str] | None:
        refuse_twice(value or [])
        return value

    @field_validator("null_rep")
    @classmethod
    def _unquoted(cls, value: str) -> str:
        if any(c in value for c in ',"\r\n'):
            raise ValueError("a comma, a quote or a line end cannot stand in it; choose another text")
        return value


class PartyConfig(JobModel):
    """Who, with whom, over which connection, on which input."""

    schema_command: ClassVar[str]
    """The command that lists the fields."""

    path_fields: ClassVar[tuple[str, ...]] = ("input", "output", "report")
    """Fields that are paths, or have one in their field `path`."""

    party: _Text = Field(description="own name, as in one's certificate")
    peer: _Text = Field(description="the other party's name, as in its certificate")
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
    hash: HashName = "sha256"
    null_policy: NullPolicy = Field("ignore", description="a NULL key matches nothing, or is an error")
    threads: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None, description="default: all cores allowed"
    )
    patience: Annotated[float, Field(gt=0, le=1e7)] = Field(
        300.0, description="seconds a lost peer is waited for"
    )
    report: _Text | None = Field(
        None, description="JSON run report; default <output>.report.json beside the output"
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
        refuse_twice([key.name for key in value])
        return value

    @model_validator(mode="after")
    def _connected(self) -> Self:
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
        return self

    def key_specs(self) -> tuple[KeySpec, ...]:
        """The key columns as `crypsis.mpc.data` takes them."""
        return tuple(KeySpec(key.name, key.type) for key in self.keys)

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


Job = TypeVar("Job", bound=PartyConfig)


def load(model: type[Job], path: str | None, overrides: dict[str, Any]) -> Job:
    """The job in `path` (None: none) with `overrides`, nested as the file is. Raises ConfigError, one line a
    problem."""
    raw = _read(path) if path is not None else {}
    if path is not None:
        _resolve_paths(raw, model.path_fields, os.path.dirname(path))
    return parse(model, _merged(raw, overrides), path)


def parse(model: type[Job], raw: dict[str, Any], where: str | None = None) -> Job:
    """Checks `raw`; `where` names its file in messages."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        prefix = f"{where}: " if where is not None else ""
        lines = dict.fromkeys(
            prefix + _told(dict(problem), model.schema_command) for problem in error.errors()
        )
        raise ConfigError("\n".join(lines)) from error


def schema_of(model: type[PartyConfig], title: str) -> dict[str, Any]:
    """JSON schema of the configuration file, short forms included."""
    schema = model.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = title
    properties = schema["properties"]
    text = {"type": "string", "minLength": 1}
    texts = {"type": "array", "items": text, "minItems": 1}
    properties["input"] = {"anyOf": [properties["input"], text, texts]}
    if "output" in properties:
        output = properties["output"]
        properties["output"] = {**output, "anyOf": [*output.get("anyOf", [output]), text]}
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


def _resolve_paths(raw: dict[str, Any], fields: tuple[str, ...], folder: str) -> None:
    """Makes the paths of a configuration file relative to its folder, in place."""

    def at(value: Any) -> Any:
        if isinstance(value, list):
            return [at(item) for item in value]
        return os.path.join(folder, value) if isinstance(value, str) and value else value

    for name in fields:
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
            if name == "input" and isinstance(below, dict):
                below = _without_other_kind(below, value)
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


def _without_other_kind(given: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The input of the file without what the flags replace by another kind of input, or another way to name the
    database."""
    dropped: set[str] = set()
    if "path" in flags:
        dropped |= {"query", "uri", "uri_env"}
    if "query" in flags:
        dropped |= {"path", "format", "csv"}
    if "uri" in flags or "uri_env" in flags:
        dropped |= {"uri", "uri_env"}
    return {name: value for name, value in given.items() if name not in dropped}


def _told(problem: dict[str, Any], schema_command: str) -> str:
    """One line for one of pydantic's findings: field, value, remedy."""
    # The branches of a union are no part of the file: drop their names from the place.
    parts = [
        str(p)
        for p in problem["loc"]
        if isinstance(p, int) or ("[" not in p and p not in ("str", "list", "constrained-str"))
    ]
    field = ".".join(parts)
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    shown = "***" if parts[-1:] == ["uri"] else _shown(value)
    if kind == "value_error":
        reason = str(context["error"])
        if isinstance(value, dict):  # about several fields together, which the reason names
            return f"{field}: {reason}" if field else reason
        return f"{field}: {shown}: {reason}" if field else reason
    if kind == "missing":
        return f"{field} is missing; add it"
    if kind == "extra_forbidden":
        return f"{field}: no such field; `{schema_command}` lists them"
    if kind == "literal_error":
        return f"{field}: {shown} is not known; use {context['expected']}"
    if kind.startswith(("string_", "int_", "bool_", "float_", "list_", "dict_", "model_")):
        return f"{field}: {shown} will not do: {problem['msg'][0].lower()}{problem['msg'][1:]}"
    return f"{field}: {shown}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _shown(value: Any) -> str:
    text = repr(_without_uri(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without_uri(value: Any) -> Any:
    """`value` without what stands under `uri` in it, or looks like the URI of a database."""
    if isinstance(value, str):
        return _DATABASE_URI.sub("postgresql://***", value)
    if isinstance(value, dict):
        return {name: "***" if name == "uri" else _without_uri(item) for name, item in value.items()}
    return [_without_uri(item) for item in value] if isinstance(value, list) else value


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
