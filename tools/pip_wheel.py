# SPDX-License-Identifier: Apache-2.0
"""Download pip itself from the package index, with the sha256 that the index states checked.

For a Python without ensurepip. Reads what pip would: PIP_INDEX_URL and PIP_CERT, else index-url and cert of
the pip.conf files, else PyPI and the system's certificates (SSL_CERT_FILE). Standard library only.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import os
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

DEFAULT_INDEX = "https://pypi.org/simple"
WHEEL = re.compile(r"^pip-(\d+(?:\.\d+)*)-py3-none-any\.whl$")  # released versions only


class PipError(Exception):
    """pip could not be had; one line with what to do."""


@dataclass(frozen=True)
class Link:
    """A wheel on the index page."""

    url: str
    file_name: str
    sha256: str
    version: tuple[int, ...]


def setting(name: str) -> str | None:
    """pip's option `name`: PIP_NAME, else [install] or [global] of the most personal pip.conf that has it."""
    value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    if value:
        return value
    home = Path.home()
    config = os.environ.get("XDG_CONFIG_HOME", str(home / ".config"))
    places = [home / ".pip" / "pip.conf", Path(config) / "pip" / "pip.conf"]
    places += [Path("/etc/pip.conf"), Path("/etc/xdg/pip/pip.conf")]
    if os.environ.get("PIP_CONFIG_FILE"):
        places.insert(0, Path(os.environ["PIP_CONFIG_FILE"]))
    for place in places:
        parser = configparser.RawConfigParser()
        try:
            parser.read(place, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("install", "global"):
            if parser.has_option(section, name):
                return parser.get(section, name).split()[0]
    return None


def fetch(url: str) -> bytes:
    """The body behind `url`; a user name and password in it go into the Authorization header."""
    parts = urllib.parse.urlsplit(url)
    headers = {
        "User-Agent": "crypsis-bootstrap",
        "Accept": "text/html, application/octet-stream;q=0.9, */*;q=0.1",
    }
    if parts.username:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    context = ssl.create_default_context(cafile=setting("cert"))
    request = urllib.request.Request(urllib.parse.urlunsplit(parts), headers=headers)
    with urllib.request.urlopen(request, timeout=120, context=context) as answer:
        body: bytes = answer.read()
    return body


class _Page(HTMLParser):
    """Collects the usable pip wheels of a simple index page [PEP 503]."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.links: list[Link] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag != "a" or not known.get("href") or "data-yanked" in known:
            return
        url, _, fragment = urllib.parse.urljoin(self.url, known["href"] or "").partition("#")
        file_name = urllib.parse.unquote(url.rsplit("/", 1)[-1])
        match = WHEEL.match(file_name)
        algorithm, _, value = fragment.partition("=")
        if match and algorithm == "sha256" and _python_is(known.get("data-requires-python") or ""):
            version = tuple(int(number) for number in match.group(1).split("."))
            self.links.append(Link(url, file_name, value, version))


def _python_is(requirement: str) -> bool:
    """Whether this Python satisfies ">=3.9"; pip's newest wheels have no other clause (`!=`, `<`)."""
    oldest = re.search(r">=\s*(\d+)\.(\d+)", requirement)
    return oldest is None or sys.version_info[:2] >= (int(oldest.group(1)), int(oldest.group(2)))


def wheels(page: str, url: str) -> list[Link]:
    """The pip wheels that this Python can run on an index page, newest first; only those with a sha256."""
    parser = _Page(url)
    parser.feed(page)
    return sorted(parser.links, key=lambda link: link.version, reverse=True)


def download(folder: Path) -> Path:
    """Put the newest pip wheel into `folder`; PipError when the index fails or the hash is wrong."""
    index = (setting("index-url") or DEFAULT_INDEX).rstrip("/") + "/pip/"
    shown = (
        urllib.parse.urlsplit(index)
        ._replace(netloc=urllib.parse.urlsplit(index).netloc.rpartition("@")[2])
        .geturl()
    )
    remedy = "check PIP_INDEX_URL and PIP_CERT, or install python3-venv"
    try:
        found = wheels(fetch(index).decode("utf-8", "replace"), index)
        if not found:
            raise PipError(f"{shown} lists no pip wheel with a sha256: {remedy}")
        content = fetch(found[0].url)
    except OSError as error:  # urllib's errors are
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise PipError(f"{shown} cannot be read ({error}): {remedy}") from None
    if hashlib.sha256(content).hexdigest() != found[0].sha256:
        raise PipError(f"{found[0].file_name} does not have the sha256 that {shown} states: not installed")
    path = folder / found[0].file_name
    path.write_bytes(content)
    return path
