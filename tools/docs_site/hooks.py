# SPDX-License-Identifier: Apache-2.0
"""What mkdocs does beyond pages of docs/ (see `hooks` in mkdocs.yml).

The pages are written for GitHub and for the site alike, so here is what differs on the site:

- a link that leads out of docs/ (notes beside the kernels, benchmark rows, CONTRIBUTING.md) gets a page below
  `repository/`, made of that file: the site is whole without the repository. Rows are shown one by one, `#L12` being
  row 12 as on GitHub;
- pages of the API below `api/`, one a public module, from docstrings;
- ```mermaid blocks become drawings (`sequence`), so that no page fetches a program from elsewhere;
- CHANGELOG.md and others from the top of the repository are in the navigation, by the same way;
- search finds documents before files of the repository, and no rows.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).resolve().parent))
import docstrings
import sequence

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "repository"
# Where mkdocstrings finds `crypsis`, whose parts lie in three folders of the checkout.
PACKAGES = ROOT / "build" / "docs-packages"
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_KERNELS = (
    "aes bigint bitmatrix curve25519 embedding hashing ntt okvs partition ristretto255 rns sampling vole"
)
_SCHEMES = "bgv ckks compat.phe compat.tenseal okamoto_uchiyama paillier"


# --- API pages -------------------------------------------------------------------------------------------------------


def _has_all(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [
        t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)
    ]
    return "__all__" in names


def modules_of_bindings() -> list[str]:
    """crypsis.<module>, without private ones; of `compat` its packages."""
    folder = ROOT / "bindings" / "crypsis"
    found = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")]
    found += [f"compat.{path.parent.name}" for path in (folder / "compat").glob("*/__init__.py")]
    return sorted([*found, "cuda"])


def modules_of_mpc() -> dict[str, list[str]]:
    """Of each package below mpc/ but the command line and its benchmarks: what its page shows."""
    found = {}
    for path in sorted((ROOT / "mpc").rglob("__init__.py")):
        name = ".".join(["mpc", *path.parent.relative_to(ROOT / "mpc").parts])
        if path.parent == ROOT / "mpc" or name.startswith(("mpc.cli", "mpc.bench")) or "._" in name:
            continue
        modules = sorted(each.stem for each in path.parent.glob("*.py") if not each.stem.startswith("_"))
        found[name] = [name] if _has_all(path) else [name, *(f"{name}.{each}" for each in modules)]
    found["mpc.psi"].append("mpc.psi.ecdh")
    return found


def api_pages() -> tuple[dict[str, str], list[Any]]:
    """The text of each page, and their navigation."""
    kernels, schemes = _KERNELS.split(), _SCHEMES.split()
    bindings, mpc = modules_of_bindings(), modules_of_mpc()
    groups = {
        "Kernels": [name for name in bindings if name in kernels],
        "Encryption of arrays": [name for name in bindings if name in schemes],
        "Everything else": [name for name in bindings if name not in kernels + schemes],
        "Protocols": list(mpc),
    }
    pages, navigation = {}, []
    for title, names in groups.items():
        entries = []
        for name in names:
            shown = mpc.get(name, [name])
            blocks = [f"# crypsis.{name}\n\n::: crypsis.{shown[0]}\n"]
            blocks += [f"## crypsis.{each}\n\n::: crypsis.{each}\n" for each in shown[1:]]
            path = f"api/{name}.md"
            pages[path] = "\n".join(blocks)
            entries.append({f"crypsis.{name}": path})
        navigation.append({title: entries})
    return pages, navigation


def _merge_packages() -> None:
    """`crypsis` as one folder of links, as it is installed."""
    merged = PACKAGES / "crypsis"
    merged.mkdir(parents=True, exist_ok=True)
    wanted = {
        path.name: path for path in (ROOT / "bindings" / "crypsis").iterdir() if path.name != "__pycache__"
    }
    wanted["mpc"] = ROOT / "mpc"
    for old in merged.iterdir():
        old.unlink()
    for name, path in wanted.items():
        (merged / name).symlink_to(path)


# --- files outside of docs/ ------------------------------------------------------------------------------------------


def _outside(page: str, target: str, docs: Path) -> Path | None:
    """The file or folder of the repository, outside of docs/, that `target` on `page` (below docs/) leads to."""
    path = target.partition("#")[0]
    if not path or re.match(r"[a-z]+:", path):
        return None
    found = Path(os.path.normpath(docs / PurePosixPath(page).parent / path))
    if found.is_relative_to(docs) or not found.is_relative_to(ROOT) or not found.exists():
        return None
    return found


def _page_of(file: Path) -> str:
    """Where a file of the repository is shown, below the site's root."""
    path = file.relative_to(ROOT).as_posix()
    if file.is_dir():
        path += "/index.md"
    return f"{REPOSITORY}/{path}" if path.endswith(".md") else f"{REPOSITORY}/{path}.md"


def _shown(file: Path) -> str:
    """A file of the repository as a page."""
    name = file.relative_to(ROOT).as_posix()
    if file.is_dir():
        return f"# {name}\n\n" + "".join(f"- `{each.name}`\n" for each in sorted(file.iterdir()))
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return text
    if file.suffix == ".jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        parts = [
            f"## Row {number} {{ #L{number} }}\n\n`{row.get('name', '')}`\n\n```json\n{text}\n```\n"
            for number, row in enumerate(rows, 1)
            for text in [json.dumps(row, indent=2)]
        ]
        return (
            f"# {file.name}\n\nOne row a line; here each with its fields below each other.\n\n"
            + "\n".join(parts)
        )
    return f"# {name}\n\n```{file.suffix[1:]}\n{text}\n```\n"


def _collect(sources: dict[str, str], docs: Path) -> dict[str, str]:
    """Pages for all files of the repository that pages link to, and those link to in turn."""
    made: dict[str, str] = {}
    waiting = list(sources.items())
    while waiting:
        page, text = waiting.pop()
        for target in _LINK.findall(_FENCE.sub("", text)):
            place = (
                page if not page.startswith(REPOSITORY + "/") else f"../{page.removeprefix(REPOSITORY + '/')}"
            )
            file = _outside(place, target, docs)
            if file is not None and _page_of(file) not in made:
                made[_page_of(file)] = _shown(file)
                waiting.append((_page_of(file), made[_page_of(file)]))
    return made


def _rewritten(page: str, text: str, docs: Path) -> str:
    """`text` with links that suit the site: out of docs/ to the pages below `repository`, and from there back."""
    inside = page.startswith(REPOSITORY + "/")
    place = f"../{page.removeprefix(REPOSITORY + '/')}" if inside else page

    def target(match: re.Match[str]) -> str:
        path, hash_, anchor = match[1].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match[1]
        file = _outside(place, path, docs)
        if file is None and inside:  # from the repository's page into docs/
            found = Path(os.path.normpath(docs / PurePosixPath(place).parent / path))
            new = found.relative_to(docs).as_posix() if found.is_relative_to(docs) else None
        else:
            new = _page_of(file) if file is not None else None
        if new is None:
            return match[1]
        return os.path.relpath(new, PurePosixPath(page).parent.as_posix() or ".") + hash_ + anchor

    kept: list[str] = []
    if inside:  # `array[i][j]` in prose is no link
        text = "".join(
            part if i % 2 else part.replace("][", "]\\[") for i, part in enumerate(_CODE.split(text))
        )

    def aside(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    text = _LINK.sub(target, _FENCE.sub(aside, text))
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)


# --- what mkdocs calls -----------------------------------------------------------------------------------------------


def on_startup(command: str, dirty: bool) -> None:
    """Before mkdocstrings looks for its paths, which it would forget if they were not there."""
    _merge_packages()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.markdown_extensions.append(docstrings.Prose())  # type: ignore[arg-type]
    _, navigation = api_pages()
    for entry in config.nav or []:
        if isinstance(entry, dict) and "API" in entry:
            entry["API"] = navigation
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    docs = Path(config.docs_dir)
    pages, _ = api_pages()
    sources = {file.src_uri: file.content_string for file in files.documentation_pages()}
    for path, text in {**_collect(sources | _top_pages(), docs), **pages}.items():
        files.append(File.generated(config, path, content=text))
    return files


def _top_pages() -> dict[str, str]:
    """Pages that the navigation names but no page may link to."""
    return {"navigation.md": "[](../CHANGELOG.md) [](../SECURITY.md) [](../CONTRIBUTING.md)"}


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    path = page.file.src_uri
    if path.startswith(
        REPOSITORY + "/"
    ):  # found after the documents; rows and sources, which repeat their words, never
        source = ROOT / path.removeprefix(REPOSITORY + "/").removesuffix(".md")
        page.meta["search"] = {"exclude": True} if source.is_file() else {"boost": 0.3}
    markdown = _rewritten(page.file.src_uri, markdown, Path(config.docs_dir))

    def drawn(match: re.Match[str]) -> str:
        return sequence.svg(match[3]) if match[2] == "mermaid" else match[0]

    return _FENCE.sub(drawn, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """A page in Chinese says so: browsers choose its letters by that, and screen readers its voice."""
    chinese = page.file.src_uri.startswith("zh/") or page.file.src_uri.endswith(".zh.md")
    return output.replace('<html lang="en"', '<html lang="zh"', 1) if chinese else output
