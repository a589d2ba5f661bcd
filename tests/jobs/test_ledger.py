# SPDX-License-Identifier: Apache-2.0
"""The ledger: what was written is there after a kill, damage is found, another job is refused by name."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypsis.errors import ConfigError, CorruptData, DataError
from crypsis.mpc.jobs.identity import Identity, InputFile, input_files
from crypsis.mpc.jobs.ledger import BinState, Ledger, Result, Spill
from crypsis.mpc.jobs.workdir import WorkDir

FILES = (
    InputFile(path="/data/a.parquet", n_bytes=10, sha256="aa" * 32),
    InputFile(path="/data/b.parquet", n_bytes=20, sha256="bb" * 32),
)
IDENTITY = Identity(
    job=b"\x01" * 16,
    public={"protocol": "vole", "bin_rows": 2097152, "broadcast": True, "key_types": ["string"]},
    own={"null_policy": "ignore", "keys": ["id"], "join": None},
    input=FILES,
)


def spill(bin: int) -> Spill:
    return Spill(bin=bin, name=f"{bin}.bin", n_records=bin, n_bytes=16 * bin, sha256=f"{bin:064x}")


def result(bin: int) -> Result:
    return Result(
        bin=bin,
        name=f"{bin}.out",
        n_unique=bin,
        n_matched=bin,
        n_rows=2 * bin,
        n_bytes=8,
        sha256=f"{bin:064x}",
    )


@pytest.fixture
def work(tmp_path: Path) -> Iterator[WorkDir]:
    with WorkDir.open(tmp_path / "work") as opened:
        yield opened


@pytest.fixture
def ledger(work: WorkDir) -> Iterator[Ledger]:
    with Ledger.begin(work, IDENTITY) as begun:
        yield begun


def test_a_job_from_begin_to_complete(work: WorkDir) -> None:
    assert not Ledger.exists(work)
    with Ledger.begin(work, replace(IDENTITY, job=b"")) as ledger:
        assert Ledger.exists(work)
        assert ledger.stage == "new"
        assert ledger.n_bins is None
        ledger.name_job(b"\x01" * 16)
        ledger.name_job(b"\x01" * 16)
        with pytest.raises(ValueError, match="already"):
            ledger.name_job(b"\x02" * 16)
        ledger.partitioned(spill(bin) for bin in (2, 0, 1))
        ledger.start(1)
        ledger.set_fact("peer rows", {"n": 5})
    with Ledger.open(work) as ledger:
        ledger.check(IDENTITY)
        assert ledger.identity == IDENTITY
        assert ledger.created.endswith("Z")
        assert ledger.stage == "partitioned"
        assert ledger.spills() == [spill(0), spill(1), spill(2)]
        assert ledger.todo() == [0, 1, 2]
        assert ledger.start(1) == 2
        ledger.finish(result(1))
        with pytest.raises(ValueError, match="2 bins are not finished, the first is 0"):
            ledger.advance("exchanged")
        for bin in (0, 2):
            assert ledger.start(bin) == 1
            ledger.finish(result(bin))
        ledger.advance("exchanged")
        ledger.advance("complete")
    with Ledger.open(work) as ledger:
        assert ledger.results() == [result(0), result(1), result(2)]
        assert ledger.bins()[1] == BinState(bin=1, state="finished", attempts=2, finishes=1)
        assert ledger.fact("peer rows") == {"n": 5}
        assert ledger.fact("other", 7) == 7
        assert ledger.stage == "complete"
        with pytest.raises(ValueError, match="does not go back to 'written'"):
            ledger.advance("written")


def test_a_job_without_bins(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="call partitioned"):
        ledger.advance("exchanged")
    ledger.partitioned([])
    assert ledger.todo() == []
    ledger.advance("complete")


def test_a_finished_bin_is_reopened_only_explicitly(ledger: Ledger) -> None:
    ledger.partitioned([spill(0)])
    with pytest.raises(ValueError, match="bin 0 is not finished"):
        ledger.redo(0)
    ledger.start(0)
    ledger.finish(result(0))
    with pytest.raises(ValueError, match=r"bin 0 is finished; redo\(0\)"):
        ledger.start(0)
    with pytest.raises(ValueError, match="bin 0 is finished: only a started bin"):
        ledger.finish(result(0))
    ledger.redo(0)
    assert ledger.todo() == [0]
    assert ledger.results() == []
    assert ledger.start(0) == 2
    ledger.finish(result(0))
    assert ledger.bins() == [BinState(bin=0, state="finished", attempts=2, finishes=2)]


def test_wrong_calls_change_nothing(ledger: Ledger, work: WorkDir) -> None:
    with pytest.raises(ValueError, match="a job was begun here"):
        Ledger.begin(work, IDENTITY)
    with pytest.raises(ValueError, match="call partitioned first"):
        ledger.start(0)
    with pytest.raises(ValueError, match="0 to n - 1"):
        ledger.partitioned([spill(1)])
    assert ledger.stage == "new"
    ledger.partitioned([spill(0)])
    with pytest.raises(ValueError, match="written down already"):
        ledger.partitioned([spill(0)])
    for bin in (-1, 1, True):
        with pytest.raises(ValueError, match="the job has bins 0 to 0"):
            ledger.start(bin)
    with pytest.raises(ValueError, match="not started"):
        ledger.finish(result(0))
    for key in ("", "ledger.stage"):
        with pytest.raises(ValueError, match="key is"):
            ledger.set_fact(key, 1)
        with pytest.raises(ValueError, match="key is"):
            ledger.fact(key)


def test_a_transaction_is_all_or_nothing(ledger: Ledger) -> None:
    ledger.partitioned([spill(0), spill(1)])

    def fails() -> None:
        with ledger.transaction():
            ledger.set_fact("n", 1)
            ledger.start(0)
            raise OSError("the disk of somebody else")

    with pytest.raises(OSError, match="the disk of somebody else"):
        fails()
    assert ledger.fact("n") is None
    assert ledger.bins() == []
    with ledger.transaction():
        ledger.start(0)
        ledger.finish(result(0))
        ledger.set_fact("n", 1)
    assert (ledger.fact("n"), ledger.todo()) == (1, [1])


CHANGES: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("job", {"job": b"\x02" * 16}, ConfigError, r"0101010101010101, the peer goes on with 0202020202020202"),
    (
        "public value",
        {"public": IDENTITY.public | {"bin_rows": 1024}},
        ConfigError,
        r"with bin_rows = 2097152, now it is 1024; give 2097152 again, or start afresh",
    ),
    (
        "public type",
        {"public": IDENTITY.public | {"broadcast": 1}},
        ConfigError,
        "with broadcast = true, now it is 1",
    ),
    (
        "public field gone",
        {"public": {k: v for k, v in IDENTITY.public.items() if k != "protocol"}},
        ConfigError,
        'with protocol = "vole", now it is not set',
    ),
    (
        "public field new",
        {"public": IDENTITY.public | {"security": "malicious"}},
        ConfigError,
        'with security = not set, now it is "malicious"',
    ),
    (
        "own value",
        {"own": IDENTITY.own | {"keys": ["uid"]}},
        ConfigError,
        r'with own keys = \["id"\], now it is \["uid"\]',
    ),
    ("own null", {"own": IDENTITY.own | {"join": "left"}}, ConfigError, "with own join = null, now it is"),
    (
        "file content",
        {"input": (FILES[0], replace(FILES[1], sha256="cc" * 32))},
        DataError,
        r"/data/b\.parquet: has changed \(SHA-256 cccccccccccccccc\.\.\. instead of bbbbbbbbbbbbbbbb\.\.\.\)",
    ),
    (
        "file size",
        {"input": (replace(FILES[0], n_bytes=11), FILES[1])},
        DataError,
        r"/data/a\.parquet: has changed \(11 bytes instead of 10\)",
    ),
    ("file gone", {"input": FILES[:1]}, DataError, r"/data/b\.parquet: is missing from the input"),
    (
        "file new",
        {"input": (*FILES, replace(FILES[0], path="/data/c.parquet"))},
        DataError,
        r"/data/c\.parquet: is new in the input",
    ),
    (
        "file order",
        {"input": FILES[::-1]},
        DataError,
        r"/data/b\.parquet: is file 1 of the input, /data/a\.parquet was",
    ),
]


@pytest.mark.parametrize(("change", "error", "told"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_every_mismatch_is_named(
    ledger: Ledger, work: WorkDir, change: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told) as raised:
        ledger.check(replace(IDENTITY, **change))
    assert work.path in str(raised.value)
    assert "start afresh" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_job_that_has_no_name_yet_is_compared_by_the_rest(ledger: Ledger) -> None:
    ledger.check(replace(IDENTITY, job=b""))
    assert replace(IDENTITY, job=b"").digest() == IDENTITY.digest()
    assert replace(IDENTITY, own={}).digest() != IDENTITY.digest()


def test_input_files_are_known_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (found,) = input_files([str(tmp_path / "a")])
    assert found.n_bytes == 3
    assert found.sha256.startswith("ba7816bf")  # [FIPS 180-4]
    with pytest.raises(DataError, match="gone: cannot be read: No such file"):
        input_files([str(tmp_path / "gone")])


# What a process that is killed leaves


WRITER = """
import sys
from crypsis.mpc.jobs.ledger import Ledger, Result, Spill
from crypsis.mpc.jobs.identity import Identity
from crypsis.mpc.jobs.workdir import WorkDir
work = WorkDir.open(sys.argv[1])
n = 3000
if Ledger.exists(work):
    ledger = Ledger.open(work)
else:
    ledger = Ledger.begin(work, Identity())
print("begun", flush=True)
if ledger.stage == "new":
    ledger.partitioned(Spill(bin=b, name=f"{b}", n_records=1, n_bytes=16, sha256="0" * 64) for b in range(n))
print("partitioned", flush=True)
for bin in ledger.todo():
    ledger.start(bin)
    ledger.finish(Result(bin=bin, name=f"{bin}", n_unique=bin, n_matched=bin, n_rows=bin, n_bytes=1, sha256="0" * 64))
    print(bin, flush=True)
"""


def test_a_killed_writer_leaves_a_valid_ledger(tmp_path: Path) -> None:
    place = tmp_path / "work"
    chance = random.Random(6)
    finished: set[int] = set()
    for number in range(8):
        with (tmp_path / "errors").open("w") as errors:
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n", (tmp_path / "errors").read_text()
        if number > 1:  # the first two are killed while the bins are written down, or wherever they are
            assert writer.stdout.readline() == "partitioned\n"
        time.sleep(chance.uniform(0.0, 0.1 if number < 2 else 0.3))
        writer.kill()
        lines = writer.stdout.read().removeprefix("partitioned\n").splitlines(keepends=True)
        writer.wait()
        writer.stdout.close()
        told = {int(line) for line in lines if line.endswith("\n")}
        assert not told & finished  # nothing is done twice
        finished |= told
        with WorkDir.open(place) as work, Ledger.open(work) as ledger:
            known = {row.bin for row in ledger.results()}
            assert finished <= known
            assert len(known - finished) <= 1  # finished, but killed before it could say so
            finished |= known
            assert all(row.finishes <= 1 and row.attempts >= 1 for row in ledger.bins())
            assert ledger.stage in ("new", "partitioned")
    assert finished


def test_a_kill_while_it_is_made_leaves_none(work: WorkDir) -> None:
    for name in ("ledger.sqlite.partial", "ledger.sqlite-wal", "ledger.sqlite.partial-journal"):
        Path(work.file(name)).write_bytes(b"left over")
    assert not Ledger.exists(work)
    with Ledger.begin(work, IDENTITY) as ledger:
        ledger.partitioned([])
    with Ledger.open(work) as ledger:
        assert ledger.stage == "partitioned"


# Damage


@pytest.fixture
def closed(work: WorkDir) -> Path:
    """A ledger's file with a few hundred bins, closed."""
    with Ledger.begin(work, IDENTITY) as ledger:
        ledger.partitioned(spill(bin) for bin in range(300))
        with ledger.transaction():
            for bin in range(100):
                ledger.start(bin)
                ledger.finish(result(bin))
        path = Path(ledger.path)
    assert not path.with_name(path.name + "-wal").exists()  # folded in
    return path


@pytest.mark.parametrize("keep", [0, 1, 50, 100, 4096, 0.5, 0.99])
def test_a_torn_file_is_found(work: WorkDir, closed: Path, keep: float) -> None:
    whole = closed.read_bytes()
    closed.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(
        CorruptData, match=r"ledger\.sqlite: the ledger is damaged .*remove the work directory"
    ):
        Ledger.open(work)


def test_flipped_bytes_are_found_or_do_not_matter(work: WorkDir, closed: Path) -> None:
    whole = closed.read_bytes()
    with Ledger.open(work) as ledger:
        good = (ledger.identity, ledger.spills(), ledger.results(), ledger.bins(), ledger.stage)
    whole = closed.read_bytes()
    chance = random.Random(7)
    told = []
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        closed.write_bytes(damaged)
        for extra in ("-wal", "-shm"):
            Path(str(closed) + extra).unlink(missing_ok=True)
        try:
            with Ledger.open(work) as ledger:  # the flip fell on what SQLite does not use
                assert (
                    ledger.identity,
                    ledger.spills(),
                    ledger.results(),
                    ledger.bins(),
                    ledger.stage,
                ) == good
        except DataError as error:
            told.append(str(error))
    assert len(told) > 50
    assert all("ledger.sqlite" in text and "\n" not in text for text in told)


def test_lost_rows_are_found(work: WorkDir, closed: Path) -> None:
    connection = sqlite3.connect(closed)
    connection.execute("DELETE FROM spills WHERE bin = 299")
    connection.commit()
    connection.close()
    with pytest.raises(CorruptData, match="299 of 300 spilled bins"):
        Ledger.open(work)


def test_other_versions_and_other_files_are_refused_by_name(work: WorkDir, closed: Path) -> None:
    connection = sqlite3.connect(closed)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(DataError, match=r"ledger\.sqlite: is a ledger of version 9.*knows version 1"):
        Ledger.open(work)
    closed.unlink()
    with pytest.raises(DataError, match=r"ledger\.sqlite: is missing"):
        Ledger.open(work)
    connection = sqlite3.connect(closed)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(CorruptData, match="it is not a ledger of Crypsis"):
        Ledger.open(work)


def test_a_second_opener_is_refused(ledger: Ledger, work: WorkDir) -> None:
    ledger.set_fact("n", 1)
    with pytest.raises(DataError, match=r"ledger\.sqlite: another process has it open"):
        Ledger.open(work)


def test_a_full_disk_leaves_what_was_written(work: WorkDir) -> None:
    """The limit on the size of files of a process stands for the disk."""
    code = """
import resource, signal, sys
from crypsis.errors import DataError
from crypsis.mpc.jobs.ledger import Ledger
from crypsis.mpc.jobs.identity import Identity
from crypsis.mpc.jobs.workdir import WorkDir
work = WorkDir.open(sys.argv[1])
ledger = Ledger.begin(work, Identity())
ledger.set_fact("small", 1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    ledger.set_fact("large", "x" * (1 << 20))
except DataError as error:
    print(error)
assert ledger.fact("large") is None and ledger.fact("small") == 1
"""
    place = work.path
    work.close()
    done = subprocess.run(
        [sys.executable, "-c", code, place], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ledger.sqlite: the ledger cannot be used: " in done.stdout
    with WorkDir.open(place) as opened, Ledger.open(opened) as ledger:
        assert ledger.fact("small") == 1


def test_the_file_is_private(ledger: Ledger) -> None:
    assert os.stat(ledger.path).st_mode & 0o077 == 0
