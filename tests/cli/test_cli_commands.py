# SPDX-License-Identifier: Apache-2.0
"""The smaller commands, the demonstration, the schema, the documentation's examples, and the progress display."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer.main
import yaml

from crypsis.errors import ConfigError
from crypsis.mpc.cli import app as cli_app
from crypsis.mpc.cli import customers, demo, progress, psi_run
from crypsis.mpc.psi.config import JobConfig, job_schema, load_config, parse_config

from .parties import COMMAND, Finished

Crypsis = Callable[..., Finished]
DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
MINIMAL: dict[str, Any] = {
    "party": "bank",
    "peer": "telco",
    "role": "receiver",
    "listen": "0.0.0.0:7400",
    "insecure": True,
    "input": "a.csv",
    "keys": "id",
    "output": "out.csv",
}


def test_version(crypsis: Crypsis) -> None:
    finished = crypsis("--version")
    assert finished.code == 0
    assert re.fullmatch(r"crypsis \d+\.\d+\.\d+\S*\n", finished.stdout)


def test_help_names_the_exit_codes(crypsis: Crypsis) -> None:
    finished = crypsis("--help")
    assert finished.code == 0
    assert "130" in finished.stdout


@pytest.mark.parametrize("group", [[], ["psi"], ["demo"]])
def test_no_command_shows_the_help(crypsis: Crypsis, group: list[str]) -> None:
    finished = crypsis(*group)
    assert finished.code == 2
    assert finished.stderr.startswith("Usage: crypsis")
    assert "Commands:" in finished.stderr


def test_backends(crypsis: Crypsis, monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis.backends import SLUGS

    shown = json.loads(crypsis("backends", "--json").stdout)
    assert {row["slug"] for row in shown["backends"] if row["chosen"]} == set(SLUGS)
    monkeypatch.setenv("CRYPSIS_BACKEND", "portable")
    table = crypsis("backends").stdout
    assert "CRYPSIS_BACKEND=portable" in table
    assert "curve25519" in table


@pytest.mark.parametrize(
    ("forced", "reason", "error"),
    [
        ("neon", "asks for 'neon'", "CRYPSIS_BACKEND is 'neon', which cannot run here for hashing/sha256, "),
        ("hashing:", "CRYPSIS_BACKEND is wrong", "item 'hashing:' names no backend"),
    ],
)
def test_backends_tells_a_wrong_variable_once(
    crypsis: Crypsis, monkeypatch: pytest.MonkeyPatch, forced: str, reason: str, error: str
) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", forced)
    for options in ((), ("--json",)):
        finished = crypsis("backends", *options)
        assert finished.code == 3
        assert finished.stderr.startswith("error: CRYPSIS_BACKEND is ")
        assert finished.stderr.count("\n") == 1
        assert error in finished.stderr
        assert error not in finished.stdout
        assert reason in finished.stdout
        assert "portable" in finished.stdout  # the table is shown all the same
        assert max(map(len, finished.stdout.splitlines())) <= 160


def test_certs(crypsis: Crypsis, tmp_path: Path) -> None:
    arguments = ("certs", str(tmp_path), "--party", "bank", "--party", "telco", "--days", "2")
    finished = crypsis(*arguments)
    assert finished.code == 0
    assert "--tls-key" in finished.stdout
    assert {"ca.crt", "bank.crt", "bank.key", "telco.crt", "telco.key"} <= {
        p.name for p in tmp_path.iterdir()
    }
    assert "exist" in crypsis(*arguments).error(2)
    assert crypsis(*arguments, "--overwrite").code == 0
    assert "bad name" in crypsis("certs", str(tmp_path / "x"), "--party", "bad name").error(2)


# ---- the demonstration -------------------------------------------------------------------------------------


def test_demo(tmp_path: Path) -> None:
    ran = subprocess.run(
        [*COMMAND, "demo", "psi", "--rows", "2000", "--work-dir", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran
    assert ran.stderr == ""
    assert "1,000 keys, equal to the plaintext join (checked)" in ran.stdout
    assert "bank to telco" in ran.stdout
    assert re.search(r"bank\.id +bank\.name .* telco\.id", ran.stdout)
    assert (tmp_path / "demo" / "bank.matched.parquet.report.json").exists()
    sample = [line.split() for line in ran.stdout.splitlines() if re.match(r"\d{18} ", line)]
    assert len(sample) == 3
    assert all(cells.count(cells[0]) == 2 for cells in sample)


def test_demo_without_rows_leaves_nothing_behind(
    crypsis: Crypsis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo.tempfile, "tempdir", str(tmp_path))
    finished = crypsis("demo", "psi", "--rows", "0", "--quiet")
    assert finished.code == 0, finished
    assert "intersection   0 keys" in finished.stdout
    assert list(tmp_path.iterdir()) == []


def test_demo_shows_the_error_of_a_party_and_ends_the_other(tmp_path: Path, crypsis: Crypsis) -> None:
    customers.write_bank(tmp_path / "bank.parquet", 10, lambda _: None)
    customers.write_telco(tmp_path / "telco.parquet", 10, lambda _: None)
    crypsis("certs", str(tmp_path / "certificates"), "--party", "bank", "--party", "telco")
    demo._write_configs(tmp_path, "ecdh", 1)
    config = json.loads((tmp_path / "bank.json").read_text())
    (tmp_path / "bank.json").write_text(json.dumps(config | {"keys": ["passport"]}))
    with pytest.raises(demo.DemoFailed, match=r"^bank: .*no column 'passport'.* \(exit code 4\)$") as failed:
        demo.run_parties(tmp_path, "psi", "run", quiet=True)
    assert failed.value.exit_code == 4


def test_customers_are_distinct_deterministic_and_half_shared(tmp_path: Path) -> None:
    ids = customers.customer_ids(np.arange(50_000, dtype=np.uint64)).to_pylist()
    assert len(set(ids)) == len(ids)
    assert all(len(i) == 18 and i.isdigit() for i in ids)
    for name, write in (("bank", customers.write_bank), ("telco", customers.write_telco)):
        for copy in ("a", "b"):
            write(tmp_path / f"{name}.{copy}.parquet", 1001, lambda _: None)
        assert (tmp_path / f"{name}.a.parquet").read_bytes() == (tmp_path / f"{name}.b.parquet").read_bytes()
    bank, telco = (demo._ids(tmp_path / f"{name}.a.parquet") for name in ("bank", "telco"))
    assert len(np.unique(bank)) == len(np.unique(telco)) == 1001
    assert len(np.intersect1d(bank, telco)) == 501
    assert not np.array_equal(bank, np.sort(bank))


# ---- configuration -----------------------------------------------------------------------------------------


def test_schema_is_json_and_lists_every_field(crypsis: Crypsis) -> None:
    schema = json.loads(crypsis("psi", "schema").stdout)
    assert schema == job_schema()
    assert set(schema["properties"]) == set(JobConfig.model_fields)
    assert schema["additionalProperties"] is False


def leaves(model: Any, prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        below = [
            t
            for t in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if hasattr(t, "model_fields")
        ]
        found |= leaves(below[0], f"{prefix}{name}.") if below else {prefix + name}
    return found


def test_every_field_is_a_flag() -> None:
    parameters = {p.name for p in typer.main.get_command(cli_app.app).commands["psi"].commands["run"].params}
    flags = {psi_run._PLACES.get(name, name) for name in parameters - set(psi_run._NOT_FIELDS)}
    assert flags - {"help"} == (leaves(JobConfig) - {"keys.name", "keys.type"}) | {"keys"}


def examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", examples())
def test_the_examples_of_the_documentation_are_valid(example: str) -> None:
    parse_config(yaml.safe_load(example))


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        yaml.safe_dump(MINIMAL | {"input": {"path": ["a.csv", "/data/b.csv"]}, "report": "r.json"})
    )
    config = load_config(str(path), {})
    assert config.input.path == [str(tmp_path / "a.csv"), "/data/b.csv"]
    assert config.output is not None
    assert config.output.path == str(tmp_path / "out.csv")
    assert config.report_path == str(tmp_path / "r.json")
    flagged = load_config(str(path), {"input": {"path": "c.csv"}, "output": {"path": "d.csv"}})
    assert flagged.input.path == "c.csv"
    assert flagged.output is not None
    assert flagged.output.path == "d.csv"


def test_flags_replace_their_counterpart() -> None:
    assert load_config(None, {**MINIMAL}).listen == "0.0.0.0:7400"
    nested = psi_run.overrides_of(
        {"key": ["id", "born:date", "odd:name"], "input_path": ["a", "b"], "csv_header": False}
    )
    assert nested == {
        "keys": [{"name": "id"}, {"name": "born", "type": "date"}, {"name": "odd:name"}],
        "input": {"path": ["a", "b"], "csv": {"header": False}},
    }


def test_connect_on_the_command_line_replaces_listen_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    config = load_config(str(path), {"connect": "host:1", "tls": {"ca": "a", "certificate": "b", "key": "c"}})
    assert (config.listen, config.connect, config.insecure) == (None, "host:1", False)


def test_a_sender_without_broadcast_has_no_output() -> None:
    with pytest.raises(ConfigError, match="learns nothing"):
        parse_config(MINIMAL | {"role": "sender"})
    config = parse_config({k: v for k, v in MINIMAL.items() if k != "output"} | {"role": "sender"})
    assert config.report_path is None


# ---- progress ----------------------------------------------------------------------------------------------


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_progress_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.progress_bars("bank") as update:
        assert update is None
    monkeypatch.setattr(sys, "stderr", _Terminal())
    with progress.progress_bars("bank", enabled=False) as update:
        assert update is None


def test_bars_appear_for_phases_that_last(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    now = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    with progress.progress_bars("bank") as update:
        assert update is not None
        update("quick", 0, 10)
        update("quick", 10, 10)
        update("done at once", 1, 1)
        for done in range(1, 9):
            update("encrypt own", done * 1000, 10_000)
            update("wait for the peer", 0, 0)
            time.sleep(0.01)
        now = progress.SHOW_AFTER_S
        deadline = time.monotonic() + 60
        while not all(name in terminal.getvalue() for name in ("encrypt own", "wait for the peer")):
            assert time.monotonic() < deadline, terminal.getvalue()
            time.sleep(0.01)
    shown = terminal.getvalue()
    assert "encrypt own" in shown
    assert "8.0k/10.0k" in shown
    assert re.search(r"\dk/s", shown)
    assert re.search(r"\d:\d\d:\d\d", shown)
    assert "wait for the peer" in shown
    assert "quick" not in shown
    assert "done at once" not in shown
