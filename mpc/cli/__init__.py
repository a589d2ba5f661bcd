# SPDX-License-Identifier: Apache-2.0
"""The `crypsis` command. Exit codes, which scripts can trust:

      0  the job is done and its outputs are complete
      1  another error of this library
      2  usage or configuration is wrong, or the parties' configurations disagree
      3  a backend or an optional package is not available
      4  an input or output file cannot be used
      5  the peer cannot be reached, went away, or is not who it should be
      6  the peer broke the protocol or ended the job
     70  a defect in Crypsis (--debug or CRYPSIS_DEBUG=1 shows the traceback)
    130  interrupted (Ctrl-C); 143 terminated. The peer is told.

After any code but 0 there is no output under the final name, unless the message says that the output is complete
(the report could not be written). Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class _Terminated(BaseException):
    """SIGTERM, raised in the main thread so that staged files go and the peer is told."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with one of the codes above; `arguments` default to sys.argv[1:]."""
    arguments = sys.argv[1:] if arguments is None else arguments
    code = _guarded(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout went away, as `head` does: not our error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _guarded(arguments: list[str]) -> int:
    from crypsis.errors import CrypsisError

    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(arguments)
    except CrypsisError as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            _say(f"error: {line}")
        return error.exit_code
    except KeyboardInterrupt:
        _say("error: interrupted")
        return EXIT_INTERRUPTED
    except _Terminated:
        _say("error: terminated")
        return EXIT_TERMINATED
    except BrokenPipeError:
        return 0
    except Exception as error:
        if _debugging(arguments):
            raise
        told = " ".join(str(error).split())
        _say(f"error: unexpected {type(error).__name__}: {told}; run again with --debug for the traceback")
        return EXIT_DEFECT


def _run(arguments: list[str]) -> int:
    from crypsis.mpc.cli.app import app

    # The command line's own errors have this interface in every release of typer and click.
    # Some of those releases turn Ctrl-C into an exception of their own or into code 130, some do not.
    try:
        code = app(arguments, standalone_mode=False, prog_name="crypsis")
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error, file=sys.stderr)
            return 2
        if hasattr(error, "format_message"):
            context = getattr(error, "ctx", None)
            where = context.command_path if context is not None else "crypsis"
            told = " ".join(error.format_message().split())
            _say(f"error: {told.rstrip('.')}; see `{where} --help`")
            return int(getattr(error, "exit_code", 2))
        if type(error).__name__ == "Abort":
            raise KeyboardInterrupt from error
        if type(error).__name__ != "Exit":
            raise
        code = getattr(error, "exit_code", 1)
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _debugging(arguments: list[str]) -> bool:
    return "--debug" in arguments or os.environ.get("CRYPSIS_DEBUG", "") not in ("", "0")


def _say(line: str) -> None:
    # A peer's words may be part of it: nothing that moves a terminal's cursor gets through.
    print("".join(c if c.isprintable() else "?" for c in line), file=sys.stderr, flush=True)
