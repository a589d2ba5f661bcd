# SPDX-License-Identifier: Apache-2.0
"""A job between files, around its protocol: the input, the places it writes to, the connection."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crypsis.errors import CrypsisError, DataError
from crypsis.mpc.data import DatabaseSource, Source, open_database, open_source
from crypsis.mpc.data.encode import check_key_type
from crypsis.mpc.jobs.config import PartyConfig
from crypsis.mpc.psi.job import timed_phase
from crypsis.mpc.psi.options import Progress
from crypsis.mpc.psi.report import FileRecord
from crypsis.mpc.transport import Channel, ChannelOptions, Hub, TlsFiles, open_channel, open_hub

_log = logging.getLogger("crypsis.jobs")


class Phases:
    """Wall seconds by phase, and the phase told to the progress display as it begins."""

    def __init__(self, progress: Progress | None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time spent inside."""
        with timed_phase(self.seconds, name, self._progress):
            yield


def open_input(
    config: PartyConfig,
    *,
    spool_directory: str | None = None,
    reuse: bool = False,
    progress: Progress | None = None,
) -> Source:
    """The input, its key columns there, and the keys' types possible. Raises DataError, and ConfigError for an
    environment variable that is not set.

    spool_directory  where the result of a query is kept while the job runs; default: beside the output, or where
                     temporary files go
    reuse            keep it there by name, or use the one that is there: see `open_database`
    """
    if config.input.query is not None:
        source: Source = open_database(
            config.input.query,
            config.input.database_uri(),
            spool_directory or _spool_directory(config),
            reuse=reuse,
            progress=progress,
        )
    else:
        source = open_source(config.input.path or [], format=config.input.format, csv=config.csv_options())
    names = [key.name for key in config.keys]
    source.require_columns(names)
    first = next(iter(source.key_batches(names)), None)
    if first is not None:
        for field, key in zip(first.schema, config.keys, strict=True):
            try:
                check_key_type(field.type, key.type, key.name)
            except DataError as error:
                raise DataError(f"{source.title}: {error}") from error
    return source


def _spool_directory(config: PartyConfig) -> str:
    output = getattr(config, "output", None)
    return os.path.dirname(os.path.abspath(output.path)) if output is not None else tempfile.gettempdir()


def input_record(source: Source) -> FileRecord:
    """What the report says of the input: its files, or the query and where it went, without credentials."""
    if isinstance(source, DatabaseSource):
        return FileRecord(
            paths=[],
            sha256=source.digest(),
            n_bytes=source.n_bytes,
            query=source.query,
            database=source.place,
        )
    return FileRecord(
        paths=[os.path.abspath(file) for file in source.files], sha256=source.digest(), n_bytes=source.n_bytes
    )


def taken_places(config: PartyConfig, source: Source, config_file: str | None) -> dict[str, str]:
    """What no output may replace: real path -> what of the job it is."""
    taken = {os.path.realpath(file): "the input" for file in source.files}
    if config.tls is not None:
        for name in ("ca", "certificate", "key"):
            taken[os.path.realpath(getattr(config.tls, name))] = f"tls.{name}"
    if config_file is not None:
        taken[os.path.realpath(config_file)] = "the configuration file"
    return taken


def refuse_taken(name: str, path: str, taken: dict[str, str]) -> None:
    """Refuses a place that another file of the job has, and takes it."""
    owner = taken.setdefault(os.path.realpath(path), f"the {name}")
    if owner != f"the {name}":
        raise DataError(f"{path}: is {owner} too; write the {name} to another file")


def dial(config: PartyConfig) -> Channel:
    """The channel that the configuration describes, the peer met."""
    return open_channel(**_link(config))


def open_link(config: PartyConfig) -> Hub:
    """The sessions that the configuration describes; the peer is met by asking for one."""
    return open_hub(**_link(config))


def _link(config: PartyConfig) -> dict[str, Any]:
    tls = None
    if config.tls is not None:
        tls = TlsFiles(
            ca=Path(config.tls.ca), certificate=Path(config.tls.certificate), key=Path(config.tls.key)
        )
    return {
        "party": config.party,
        "peer": config.peer,
        "listen": config.listen,
        "connect": config.connect,
        "tls": tls,
        "insecure": config.insecure,
        "options": ChannelOptions(patience_s=config.patience),
    }


def close_in_order(channel: Channel | Hub) -> None:
    """The farewell. All that matters is done by now, so losing the peer here does not undo the job."""
    try:
        channel.close()
    except CrypsisError as error:
        _log.warning("the result is complete, but the connection did not end in order: %s", error)
        channel.abort("the connection did not end in order")  # gives up the port


def public_reason(config: PartyConfig, error: BaseException) -> str:
    """What the peer is told: the kind of failure only, for an exception's text may quote private data."""
    if not isinstance(error, Exception):  # Ctrl-C and its like
        return f"party {config.party!r} was interrupted by its operator"
    return f"{type(error).__name__} at party {config.party!r}; see its own log"


def security_of(config: PartyConfig) -> dict[str, object]:
    """How the connection was protected, for the report."""
    if config.tls is None:
        return {"transport": "plain text, not authenticated (insecure)", "peer_certificate_name": None}
    return {
        "transport": "mutual TLS",
        "peer_certificate_name": config.peer,
        "ca_sha256": _file_digest(config.tls.ca),
        "own_certificate_sha256": _file_digest(config.tls.certificate),
    }


def _file_digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
