# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, spoken to over its DevTools pipe: JSON messages that end in NUL, on descriptors 3 and 4."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path
from typing import Any, Self

# The browser wants its pipe on these numbers. Copied away first, since the ends may lie on 3 or 4 the other way round.
_ON_3_AND_4 = """import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD_CLOEXEC, 10) for end in sys.argv[1:3]]
for end, number in zip(ends, (3, 4)):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find() -> str | None:
    """The path of a Chromium, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser with one page. `requests` and `complaints` (console and log entries) collect what happens."""

    def __init__(self, binary: str, profile: Path) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._next, self._buffer, self._events = 0, b"", []  # type: ignore[var-annotated]
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        words = [
            binary,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-extensions",
            "--disable-background-networking",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _ON_3_AND_4, str(commands), str(answers), *words],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        try:
            targets = self.call("Target.getTargets")["targetInfos"]
            page = next(target["targetId"] for target in targets if target["type"] == "page")
            self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.page(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=30)
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> Any:
        """Calls a DevTools method and returns its result. Raises RuntimeError for an error or 90 seconds of silence."""
        self._next += 1
        message: dict[str, Any] = {"id": self._next, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(method)
            if answer.get("id") == self._next:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def page(self, method: str, /, **parameters: Any) -> Any:
        return self.call(method, self._session, **parameters)

    def _receive(self, waiting_for: str) -> dict[str, Any]:
        end = time.monotonic() + 90
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise RuntimeError(f"the browser says nothing to {waiting_for}")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise RuntimeError(f"the browser ended while {waiting_for} was to be answered")
            self._buffer += data
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        told = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told))
            case "Log.entryAdded":
                self.complaints.append(told["entry"]["text"])
            case None:
                pass
            case name:
                self._events.append(name)
        return message

    def open(self, url: str) -> None:
        """Shows the page and waits until it has loaded."""
        self._events.clear()
        self.page("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._receive("the page")

    def width(self, pixels: int, height: int, *, scheme: str = "light") -> None:
        """A window of this size in CSS pixels, for a reader who likes the scheme."""
        self.page(
            "Emulation.setDeviceMetricsOverride",
            width=pixels,
            height=height,
            deviceScaleFactor=1,
            mobile=pixels < 600,
        )
        self.page("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression, which the page's policy does not bind."""
        answer = self.page("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        return b64decode(self.page("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def pdf(self) -> bytes:
        """The page as printed on A4."""
        return b64decode(self.page("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
