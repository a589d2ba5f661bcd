# SPDX-License-Identifier: Apache-2.0
"""What the documents show runs: every Python block, every configuration, and the two of the guide as a real job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from crypsis.mpc.jobs.config import parse
from crypsis.mpc.learning.config import PredictConfig, TrainConfig
from crypsis.mpc.pir.config import AskConfig, ServeConfig
from crypsis.mpc.psi.config import parse_config
from crypsis.mpc.transport.certs import make_development_certificates
from crypsis.mpc.transport.ports import free_port

from .pages import PAGES, ROOT, TRANSLATED, blocks, name_of

GUIDE = ROOT / "docs" / "psi.md"
LEARNING = ROOT / "docs" / "learning.md"
REPORT = ROOT / "docs" / "psi-report.md"
WITH_PYTHON = [page for page in PAGES if blocks(page, "python") and page not in TRANSLATED]


def _script(page: Path, port: int) -> str:
    """All Python blocks of a page as one program, each at its own line numbers."""
    lines: list[str] = []
    for block in blocks(page, "python"):
        lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    return "\n".join(lines).replace("127.0.0.1:7001", f"127.0.0.1:{port}") + "\n"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "error", "PYTHONSAFEPATH": "1"}


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    (tmp_path / "customers").mkdir()
    customers = pa.table({"id": ["ada", "bo", "chen", "bo"], "income": [10, 20, 30, 40]})
    pq.write_table(customers, tmp_path / "customers" / "1.parquet")
    if page == GUIDE:
        _write_guide_configs(tmp_path, free_port())
    script = tmp_path / f"{page.stem}.py"
    script.write_text(_script(page, free_port()), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # `print(...)  # 2`: the comment is the output.
    for call, told in re.findall(
        r"^print\((.*)\)  # (\S.*)$", script.read_text(encoding="utf-8"), re.MULTILINE
    ):
        value = told.split(":")[0] if re.match(r"\d", told) else told
        if re.match(r"[\d{\[]", told):
            assert value in done.stdout.splitlines(), f"{call} printed {done.stdout}"


def _yaml_blocks(page: Path = GUIDE) -> list[str]:
    return [block.text for block in blocks(page, "yaml")]


def _guide_config(party: str) -> dict[str, Any]:
    found = [text for text in _yaml_blocks() if text.startswith(f"# {party}.yaml\n")]
    assert len(found) == 1
    config = yaml.safe_load(found[0])
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize("text", [text for page in PAGES for text in _yaml_blocks(page)])
def test_configurations_are_valid(text: str) -> None:
    """Whole ones as they are, fragments on top of the bank's."""
    given = yaml.safe_load(text)
    if "model" in given:
        parse(TrainConfig if "algorithm" in given else PredictConfig, given)
        return
    if "preprocess" in given:
        bank = next(text for text in _yaml_blocks(LEARNING) if text.startswith("# bank.yaml\n"))
        parse(TrainConfig, {**yaml.safe_load(bank), **given})
        return
    if "list_name" in given:
        parse(AskConfig if "output" in given else ServeConfig, given)
        return
    parse_config(given if "party" in given else {**_guide_config("bank"), **given})


def _write_guide_configs(folder: Path, port: int) -> None:
    for party in ("bank", "telco"):
        config = next(text for text in _yaml_blocks() if text.startswith(f"# {party}.yaml\n"))
        for address in ("0.0.0.0:7400", "bank.example:7400"):
            config = config.replace(address, f"127.0.0.1:{port}")
        (folder / f"{party}.yaml").write_text(config, encoding="utf-8")


def test_the_two_configurations_of_the_guide_are_a_job(tmp_path: Path) -> None:
    """Two processes, mutual TLS, the files and the result that the guide shows."""
    _write_guide_configs(tmp_path, free_port())
    make_development_certificates(tmp_path / "certificates", ["bank", "telco"])
    tables = next(block.text for block in blocks(GUIDE, "python") if "write_table" in block.text)
    subprocess.run([sys.executable, "-c", tables], cwd=tmp_path, timeout=180, check=True)
    command = [sys.executable, "-P", "-m", "crypsis.mpc.cli", "psi", "run", "--patience", "30", "--config"]
    processes = [
        subprocess.Popen(
            [*command, f"{party}.yaml"],
            cwd=tmp_path,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for party in ("bank", "telco")
    ]
    try:
        told = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], told
    (bank, _), (telco, _) = told
    shown = blocks(GUIDE, "text")[0].text.splitlines()
    # Paths, sizes on the disk and seconds are those of the machine; the rest is what the guide shows.
    assert bank.splitlines()[:3] == shown[:3]
    assert "intersection   not for this party (sender without broadcast)" in telco
    matched = pq.read_table(tmp_path / "matched.parquet").to_pydict()
    assert matched == {"customer_id": ["A1", "A3", "A3"], "income": [10, 30, 31]}

    report = json.loads((tmp_path / "matched.parquet.report.json").read_text(encoding="utf-8"))
    example = json.loads(blocks(REPORT, "json")[0].text)
    assert set(example) <= set(report)
    for name in ("schema_version", "kind", "job", "party", "peer", "role", "protocol", "counts"):
        assert example[name] == report[name]
    for name in ("traffic", "security", "seconds"):
        assert set(example[name]) <= set(report[name])
    for name in ("payload_bytes_sent", "messages_sent", "payload_bytes_received", "messages_received"):
        assert example["traffic"][name] == report["traffic"][name]
    fields = re.findall(
        r"^\| (`[^|]*) \|", REPORT.read_text(encoding="utf-8").split("## The report")[1], re.MULTILINE
    )
    for name in re.findall(r"`(\w+)(?:\.\w+\*?)?`", " ".join(fields[:7])):
        assert name in report


def test_the_table_of_sizes_is_what_its_program_prints() -> None:
    page = ROOT / "docs" / "vole-psi.md"
    program = blocks(page, "python")[0].text
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    rows = re.findall(r"^\| 2\^\d+ \|.*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 14
    assert rows == done.stdout.splitlines()


def test_the_two_configurations_of_a_query_are_a_job(tmp_path: Path) -> None:
    """Two processes, mutual TLS, the files and the result that docs/query.md shows."""
    page, port = ROOT / "docs" / "query.md", free_port()
    parties = {"exchange": "serve", "broker": "ask"}
    for text in _yaml_blocks(page):
        for address in ("0.0.0.0:7400", "exchange.example:7400"):
            text = text.replace(address, f"127.0.0.1:{port}")
        (tmp_path / text.split()[1]).write_text(text, encoding="utf-8")
    make_development_certificates(tmp_path / "certificates", list(parties))
    tables = next(block.text for block in blocks(page, "python") if "write_table" in block.text)
    subprocess.run([sys.executable, "-c", tables], cwd=tmp_path, timeout=180, check=True)
    command = [sys.executable, "-P", "-m", "crypsis.mpc.cli", "query"]
    processes = [
        subprocess.Popen(
            [*command, verb, "--config", f"{party}.yaml", "--patience", "30"],
            cwd=tmp_path,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for party, verb in parties.items()
    ]
    try:
        told = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], told
    shown = blocks(page, "text")[0].text.splitlines()
    assert told[1][0].splitlines()[:3] == shown[:3]
    answers = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    rows = re.findall(
        r"^\| (\w+) \| (\d+) \| (true|false) \| (.*?) ?\| ?(.*?) ?\|$", page.read_text(), re.MULTILINE
    )
    assert len(rows) == len(answers) == 4
    for (applicant, amount, found, reason, since), row in zip(rows, answers, strict=True):
        assert row == {
            "applicant": applicant,
            "amount": int(amount),
            "found": found == "true",
            "reason": reason or None,
            "since": int(since) if since else None,
        }


@pytest.mark.slow
def test_the_configurations_of_the_learning_guide_are_jobs(tmp_path: Path) -> None:
    """The training, the same with the scorecard's fields, and the predictions, as two processes with mutual TLS."""
    port, found = free_port(), {}
    for text in _yaml_blocks(LEARNING):
        if text.startswith("# "):
            for address in ("0.0.0.0:7500", "bank.example:7500"):
                text = text.replace(address, f"127.0.0.1:{port}")
            found[text.split()[1]] = yaml.safe_load(text)
    assert set(found) == {"bank.yaml", "telco.yaml", "bank-predict.yaml", "telco-predict.yaml"}
    card = next(yaml.safe_load(text) for text in _yaml_blocks(LEARNING) if text.startswith("algorithm:"))
    for party in ("bank", "telco"):
        own = {"path": f"{party}.card.csv"}
        found[f"{party}-card.yaml"] = (
            found[f"{party}.yaml"]
            | card
            | {"model": f"{party}.card.json", "scorecard": card["scorecard"] | own}
        )
    for name, config in found.items():
        (tmp_path / name).write_text(yaml.safe_dump(config), encoding="utf-8")
    make_development_certificates(tmp_path / "certificates", ["bank", "telco"])
    draws = np.random.default_rng(1)
    values, ids = draws.normal(size=(300, 3)), [f"A{i}" for i in range(300)]
    bad = (values.sum(axis=1) + draws.normal(0, 0.5, 300) > 0).astype(int)
    loans = pa.table({"customer_id": ids, "income": values[:, 0], "debt": values[:, 1], "defaulted": bad})
    usage = pa.table({"customer": ids[::-1], "calls": values[::-1, 2]})
    for name, table in (
        ("loans", loans),
        ("applicants", loans.drop_columns(["defaulted"])),
        ("usage", usage),
        ("applicants-usage", usage),
    ):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    for verb, suffix in (("train", ""), ("train", "-card"), ("predict", "-predict")):
        processes = [
            subprocess.Popen(
                [sys.executable, "-P", "-m", "crypsis.mpc.cli", verb, "--config", f"{party}{suffix}.yaml"],
                cwd=tmp_path,
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for party in ("bank", "telco")
        ]
        try:
            told = [process.communicate(timeout=400) for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert [process.returncode for process in processes] == [0, 0], told
    left = {path.name for path in tmp_path.iterdir()}
    assert {
        "bank.model.json",
        "bank.model.json.html",
        "bank.model.json.report.json",
        "telco.model.json",
    } <= left
    assert {"bank.card.csv", "telco.card.csv", "scores.parquet"} <= left
    assert pq.read_table(tmp_path / "scores.parquet").num_rows == 300


def test_a_mistake_in_the_guide_would_show() -> None:
    """The test above is not blind: a field that does not exist is refused."""
    from crypsis.errors import ConfigError

    with pytest.raises(ConfigError, match="no such field"):
        parse_config({**_guide_config("bank"), "outputs": "x"})
