# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of the tests' own: in a temporary folder, on a free port, with passwords."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crypsis.mpc.transport.ports import free_port

PASSWORD = "s3cret/w@rd:ä"
QUOTED = "s3cret%2Fw%40rd%3A%C3%A4"
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "20",
    "listen_addresses": "127.0.0.1",
}


class NoServer(Exception):
    """Why there can be none here."""


class PostgresServer:
    """Superuser `admin`, database `shop`; both with the password above."""

    def __init__(self, port: int, folder: Path, tools: Path) -> None:
        self.port = port
        self.folder = folder
        self._tools = tools
        self.uri = f"postgresql://admin:{QUOTED}@127.0.0.1:{port}/shop"

    def run(self, sql: str, database: str = "shop") -> str:
        """What psql prints for `sql`, unaligned and without headers."""
        command = [
            self._tools / "psql",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "admin",
            "-d",
            database,
        ]
        done = subprocess.run(
            [*command, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql],
            env={**_clean(), "PGPASSWORD": PASSWORD},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {
        "LC_ALL": "C.UTF-8"
    }


def _tools() -> Path:
    """Where the server's programs are: Debian's folders, the newest first, then the path."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: p.parent.name.zfill(4), reverse=True
    )
    found = shutil.which("initdb")
    folders += [Path(found).resolve().parent] if found else []
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "postgres", "psql")):
            return folder
    raise NoServer("needs PostgreSQL's server (Debian: apt-get install postgresql)")


def _unprivileged() -> dict[str, Any]:
    """Keywords of subprocess that leave root, as whom the server refuses to run."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NoServer(
        "needs a user other than root to run PostgreSQL's server as: neither postgres nor nobody exists"
    )


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Raises NoServer with the reason where it cannot run."""
    tools, user = _tools(), _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="crypsis-pg-"))  # a socket's path has at most 107 characters
    options: dict[str, Any] = {"cwd": folder, "env": _clean(), "check": True, "timeout": 300, **user}
    try:
        (folder / "password").write_text(PASSWORD + "\n", encoding="utf-8")
        if user:
            os.chown(folder, user["user"], user["group"])
            os.chown(folder / "password", user["user"], user["group"])
        log = (folder / "log").open("w")
        command = [tools / "initdb", "-D", "data", "-U", "admin", "-A", "scram-sha-256", "-E", "UTF8"]
        command += ["--pwfile=password", "--no-locale", "--no-sync"]
        subprocess.run(command, stdout=log, stderr=log, **options)
        port = free_port()
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        server = subprocess.Popen(
            [tools / "postgres", "-D", "data", "-p", str(port), "-k", folder, *settings],
            cwd=folder,
            env=_clean(),
            stdout=log,
            stderr=log,
            **user,
        )
        try:
            made = PostgresServer(port, folder, tools)
            _wait(made, server)
            made.run("create database shop", database="postgres")
            yield made
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing here is kept
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            log.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    """Until it answers; two minutes at most."""
    deadline = time.monotonic() + 120
    while True:
        try:
            server.run("select 1", database="postgres")
            return
        except RuntimeError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"the server did not start: {error}; {(server.folder / 'log').read_text()[-500:]}"
                ) from error
        time.sleep(0.1)
