# SPDX-License-Identifier: Apache-2.0
"""The work directory: private, one job at a time, only what is ours, durable files."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.jobs import workdir
from crypsis.mpc.jobs.workdir import WorkDir, size_text, verify_file, write_durably

HOLDER = """
import sys
from crypsis.mpc.jobs.workdir import WorkDir
work = WorkDir.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_directory_is_private_marked_and_opens_again(tmp_path: Path) -> None:
    with WorkDir.open(tmp_path / "work") as work:
        assert work.path == str(tmp_path / "work")
        assert mode(tmp_path / "work") == 0o700
        assert sorted(os.listdir(work.path)) == ["crypsis-work.json", "lock"]
        assert work.free_bytes > 0
    with WorkDir.open(tmp_path / "work"):
        pass


def test_an_empty_directory_is_taken_and_made_private(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir(mode=0o755)
    with WorkDir.open(tmp_path / "work") as work:
        assert mode(tmp_path / "work") == 0o700
        work.destroy()
    assert (tmp_path / "work").is_dir()  # it was the user's
    assert os.listdir(tmp_path / "work") == []


def test_destroy_removes_what_crypsis_made(tmp_path: Path) -> None:
    work = WorkDir.open(tmp_path / "work")
    write_durably(work.directory("bins") + "/0", b"0")
    work.destroy()
    assert os.listdir(tmp_path) == []


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    place = tmp_path / "work"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(DataError, match=f"{place}: process {holder.pid} works in it; wait for its end"):
            WorkDir.open(place)
    finally:
        holder.kill()
        holder.communicate()
    WorkDir.open(place).close()


def test_two_opens_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    with WorkDir.open(tmp_path / "work"), pytest.raises(DataError, match="works in it"):
        WorkDir.open(tmp_path / "work")


def test_what_is_not_ours_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"cat")
    with pytest.raises(DataError, match="photos: is not empty and no work directory"):
        WorkDir.open(tmp_path / "photos")
    assert os.listdir(tmp_path / "photos") == ["cat.png"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="file: is a file"):
        WorkDir.open(tmp_path / "file")
    with pytest.raises(DataError, match="no/such: cannot be used as work directory: No such file"):
        WorkDir.open(tmp_path / "no" / "such")


def test_other_versions_and_damaged_marks_are_refused_by_name(tmp_path: Path) -> None:
    WorkDir.open(tmp_path / "work").close()
    mark = tmp_path / "work" / "crypsis-work.json"
    known = json.loads(mark.read_text())
    mark.write_text(json.dumps(known | {"version": 9, "crypsis": "7.1"}))
    with pytest.raises(
        DataError, match=r"of version 9 \(crypsis 7\.1\).*knows version 1.*name another work_dir"
    ):
        WorkDir.open(tmp_path / "work")
    for text in ("", "{", "[]", "{}", json.dumps(known | {"format": "x"}), "[" * 100_000):
        mark.write_text(text)
        with pytest.raises(CorruptData, match=r"crypsis-work\.json: is not as Crypsis writes it"):
            WorkDir.open(tmp_path / "work")


def test_a_directory_that_others_can_read_is_refused(tmp_path: Path) -> None:
    WorkDir.open(tmp_path / "work").close()
    (tmp_path / "work").chmod(0o750)
    with pytest.raises(DataError, match=r"mode 0750.*chmod 700"):
        WorkDir.open(tmp_path / "work")


@pytest.mark.parametrize("left", [["lock"], ["lock", "crypsis-work.json.77.partial"]])
def test_a_kill_before_the_mark_leaves_a_usable_directory(tmp_path: Path, left: list[str]) -> None:
    (tmp_path / "work").mkdir(mode=0o700)
    for name in left:
        (tmp_path / "work" / name).write_bytes(b"")
    with WorkDir.open(tmp_path / "work") as work:
        assert sorted(os.listdir(work.path)) == ["crypsis-work.json", "lock"]


def test_half_written_files_go_at_the_next_open(tmp_path: Path) -> None:
    with WorkDir.open(tmp_path / "work") as work:
        bins = Path(work.directory("bins"))
        (bins / "3.77.partial").write_bytes(b"half")
        (bins / "4").write_bytes(b"whole")
    with WorkDir.open(tmp_path / "work"):
        assert [path.name for path in bins.iterdir()] == ["4"]


def test_files_are_inside_or_refused(tmp_path: Path) -> None:
    with WorkDir.open(tmp_path / "work") as work:
        assert work.file("bins", "7") == str(tmp_path / "work" / "bins" / "7")
        for name in ("", ".", "..", "a/b", "/etc", "a\0b"):
            with pytest.raises(ValueError, match="no plain file name"):
                work.file("bins", name)
        for path in (str(tmp_path / "other"), work.path, work.file("x") + "/../../other"):
            with pytest.raises(ValueError, match="is not inside"):
                work.remove(path)
        work.remove(work.file("gone already"))


def test_written_files_are_whole_private_and_verified(tmp_path: Path) -> None:
    with WorkDir.open(tmp_path / "work") as work:
        digest = write_durably(work.file("bin"), b"one", memoryview(b"two"))
        assert digest == hashlib.sha256(b"onetwo").hexdigest()
        path = Path(work.file("bin"))
        assert path.read_bytes() == b"onetwo"
        assert mode(path) == 0o600
        verify_file(str(path), n_bytes=6, sha256=digest, what="bin 0")
        path.write_bytes(b"onetwx")
        with pytest.raises(CorruptData, match=r"bin: bin 0 is damaged.*start again"):
            verify_file(str(path), n_bytes=6, sha256=digest, what="bin 0")
        with pytest.raises(CorruptData, match="has 6 bytes, 7 were written"):
            verify_file(str(path), n_bytes=7, sha256=digest, what="bin 0")
        path.unlink()
        with pytest.raises(CorruptData, match="bin: bin 0 cannot be read: No such file"):
            verify_file(str(path), n_bytes=6, sha256=digest, what="bin 0")


def test_a_full_disk_names_the_file_and_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bin"
    path.write_bytes(b"old")

    def full(descriptor: int, view: memoryview) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workdir.os, "write", full)
    with pytest.raises(DataError, match=r"bin: no space left for 3 bytes.*run the same command again"):
        write_durably(str(path), b"new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["bin"]
    assert path.read_bytes() == b"old"


def test_space_is_required_with_what_it_is_for(tmp_path: Path) -> None:
    with WorkDir.open(tmp_path / "work") as work:
        work.require_space(1, "the bins")
        with pytest.raises(
            DataError, match=r"the bins takes up to 1024\.00 TiB, .* are free there; free .* more, or put"
        ):
            work.require_space(1 << 50, "the bins")


def test_clear(tmp_path: Path) -> None:
    with WorkDir.open(tmp_path / "work") as work:
        write_durably(work.directory("bins") + "/0", bytes(100_000))
        write_durably(work.file("other"), b"1")
        work.clear()
        assert sorted(os.listdir(work.path)) == ["crypsis-work.json", "lock"]


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (2048, "2.00 KiB"), (3 << 29, "1.50 GiB"), (1 << 41, "2.00 TiB")],
)
def test_sizes_read_well(n_bytes: int, text: str) -> None:
    assert size_text(n_bytes) == text
