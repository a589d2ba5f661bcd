# SPDX-License-Identifier: Apache-2.0
"""The documents tell the truth: links lead somewhere, commands and flags exist, exit codes are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from crypsis import backends, errors
from crypsis.mpc import cli
from crypsis.mpc.cli.app import app

from .pages import PAGES, ROOT, TRANSLATED, anchors, blocks, name_of, prose

GUIDE = ROOT / "docs" / "psi.md"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


_ALL_BLOCKS = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def test_pages_are_translated_both_readme_and_quick_starts() -> None:
    english = {page.name for page in (ROOT / "docs").glob("start-*.md")}
    assert len(english) == 3
    assert {page.name for page in TRANSLATED} == english | {"README.zh.md"}


@pytest.mark.parametrize("page", TRANSLATED, ids=name_of)
def test_blocks_of_a_translation_are_those_of_its_page(page: Path) -> None:
    """All of them in order; the README's first four, and only those of its languages that are to be typed."""
    told, meant = (_ALL_BLOCKS.findall(each.read_text(encoding="utf-8")) for each in (page, TRANSLATED[page]))
    if page.name == "README.zh.md":
        meant = [block for block in meant if not block.startswith("```\n")]  # the layers, drawn
    assert told == meant
    assert told


@pytest.mark.parametrize("page", TRANSLATED, ids=name_of)
def test_a_translation_names_the_same_commands(page: Path) -> None:
    assert set(_commands(page)) == set(_commands(TRANSLATED[page]))


def _commands(page: Path) -> list[str]:
    """Every `crypsis ...` command line in a shell block, an indented block, or an inline code span."""
    found = [
        line.removeprefix("$ ").split("#")[0]
        for language in ("console", "sh")
        for block in blocks(page, language)
        for line in block.text.splitlines()
    ]
    found += [line.split("  ")[0] for line in re.findall(r"^ {4}(crypsis .*)$", prose(page), re.MULTILINE)]
    found += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]
    found = [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", command.strip()) for command in found]
    return [command for command in found if re.match(r"crypsis( |$)", command)]


def _flags(command: Any) -> set[str]:
    return {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_their_flags_exist(page: Path) -> None:
    wrong = []
    for line in _commands(page):
        command: Any = typer.main.get_command(app)
        flags = _flags(command)
        for word in shlex.split(line.replace("[", "").replace("]", ""))[1:]:
            if word == "...":
                break
            if word.startswith("-"):
                if word.partition("=")[0] not in flags:
                    wrong.append(f"{line}: no flag {word}")
            elif hasattr(command, "commands"):
                if word not in command.commands:
                    wrong.append(f"{line}: no command {word}")
                    break
                command = command.commands[word]
                flags = _flags(command)
    assert wrong == []


def test_the_flags_named_in_the_guide_exist() -> None:
    command: Any = typer.main.get_command(app)
    known: set[str] = set()
    for path in (("psi", "run"), ("plan", "psi"), ("demo", "psi"), ("certs",), ("backends",)):
        found = command
        for word in path:
            found = found.commands[word]
        known |= _flags(found)
    named = {
        flag for span in re.findall(r"`(--[^`]+)`", prose(GUIDE)) for flag in re.findall(r"--[a-z-]+", span)
    }
    assert named - known == set()


def test_the_exit_codes_are_those_of_the_command_page() -> None:
    pattern = r"^\| ([\d, ]+) \|"
    told = {}
    for page in (GUIDE, ROOT / "docs" / "cli.md"):
        section = page.read_text(encoding="utf-8").split("## Exit codes")[1].split("\n## ")[0]
        rows = re.findall(pattern, section, re.MULTILINE)
        told[page] = {int(code) for row in rows for code in row.split(",")}
    assert told[GUIDE] == told[ROOT / "docs" / "cli.md"]


def test_the_exit_codes_are_those_of_the_code() -> None:
    section = GUIDE.read_text(encoding="utf-8").split("## Exit codes")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| .*? \| (?:`(\w+)`)? ?\|$", section, re.MULTILINE)
    told = {name: int(code) for code, name in rows if name}
    codes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.CrypsisError) and "exit_code" in vars(kind)
    }
    assert told == codes
    others = {int(code) for code, name in rows if not name}
    assert others == {0, cli.EXIT_DEFECT, cli.EXIT_INTERRUPTED, cli.EXIT_TERMINATED}


def test_the_backend_table_is_that_of_the_build() -> None:
    """On x86-64, where all of them are compiled."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    header = re.search(r"^\| kernel \|(.*)\|$", text, re.MULTILINE)
    assert header is not None
    names = re.findall(r"`(\w+)`", header[1])
    rows = [row for row in backends.report() if row.compiled]
    if not any(row.backend == "avx2" for row in rows):
        pytest.skip("needs an x86-64 build: the table is about it")
    have = {(row.slug, row.variant, row.backend) for row in rows}
    told = set()
    for slug, what, cells in re.findall(r"^\| `(\w+)`: ([^|]*?) \|(.*)\|$", text, re.MULTILINE):
        variant = what.replace("-", "").lower() if slug == "hashing" else ""
        for name, cell in zip(names, cells.split("|"), strict=True):
            if cell.strip().startswith("yes"):
                told.add((slug, variant, name))
    assert told == have


def test_the_measured_block_is_delimited_once() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- measured:begin -->") == text.count("<!-- measured:end -->") == 1


_CITED = re.compile(
    r"\[((?:RFC|FIPS|SP|GB/T|ISO|PEP) [0-9-]+[A-Z]?|ARCHITECTURE|BLAKE3|[A-Z][A-Za-z]+ \d{4}|[A-Z][A-Za-z]+\d\d)"
    r"(?=[\],: -])"
)


def test_citations_resolve() -> None:
    """`[RFC 7748, 5]` in code stands for a row of the bibliography; the year of a standard may follow."""
    bibliography = (ROOT / "docs" / "BIBLIOGRAPHY.md").read_text(encoding="utf-8")
    known = re.findall(r"^\| \[([^\]]+)\]", bibliography, re.MULTILINE)
    labels = {re.sub(r"^ARCHITECTURE n$", "ARCHITECTURE", label) for label in known}
    lost = set()
    for folder in ("csrc", "kernels", "bindings", "mpc", "docs", "tests", "benchmarks", "tools"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in {".h", ".cpp", ".cuh", ".cu", ".py", ".md"} and file.is_file():
                for label in _CITED.findall(file.read_text(encoding="utf-8")):
                    if label not in labels and re.sub(r"-\d{4}$", "", label) not in labels:
                        lost.add(f"{file.relative_to(ROOT)}: [{label}]")
    assert lost == set()


def test_numbers_beside_a_field_are_its_default() -> None:
    from crypsis.mpc.psi.config import JobConfig

    pages = (GUIDE, GUIDE.with_name("psi-report.md"), GUIDE.with_name("resume.md"))
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    quoted = re.findall(r"`(\w+)` \((\d+)", text)
    told = {name: int(number) for name, number in quoted if name in JobConfig.model_fields}
    assert set(told) >= {"batch_size", "bin_rows", "workers"}
    assert told == {name: JobConfig.model_fields[name].default for name in told}
