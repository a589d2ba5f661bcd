# SPDX-License-Identifier: Apache-2.0
"""A worker in a process of its own, here or on another machine: `python -m crypsis.mpc.jobs.worker FD`.

It has one connection, to its driver, and ends with it: when the driver has gone there is nobody to work for.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from crypsis.mpc.jobs.link import Kind, Link, LinkClosed
from crypsis.mpc.jobs.relay_channel import RelayChannel
from crypsis.mpc.jobs.task import function_named


def serve(link: Link, *, on_lost: Callable[[], None]) -> None:
    """Run the worker function that the driver names until it has ended, and tell the driver how.

    `on_lost` is called, in another thread, when the driver has gone.
    """
    start = link.recv()
    if start.kind != Kind.START:
        raise LinkClosed(f"the driver began with {start.kind.name}")
    fields = start.json()
    channel = RelayChannel(
        link, party=fields["party"], peer=fields["peer"], max_message_bytes=fields["max_message_bytes"]
    )
    bins: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    over = threading.Event()

    def read() -> None:
        try:
            while True:
                message = link.recv()
                if message.kind == Kind.BIN:
                    bins.put(message.json()["bin"])
                elif message.kind == Kind.LAST:
                    bins.put(None)
                else:
                    channel.take(message)
        except LinkClosed as error:
            if not over.is_set():
                channel.fail(error)
                on_lost()

    def due() -> Iterator[int]:
        while (number := bins.get()) is not None:
            yield number

    def done(number: int, result: dict[str, Any]) -> None:
        link.send_json(Kind.DONE, bin=number, result=result)

    threading.Thread(target=read, name="crypsis link", daemon=True).start()
    report: dict[str, Any] = {}
    try:
        function_named(fields["work"])(channel, fields["spec"], due(), done)
        channel.flush()
        report = {"taken": channel.taken}
    except BaseException as error:
        # The text stays inside this party: it goes to its own driver's log.
        report = {
            "error": type(error).__name__,
            "text": str(error),
            "traceback": "".join(traceback.format_exception(error))[-8000:],
        }
    over.set()
    try:
        link.send_json(Kind.ENDED, **report)
    except LinkClosed:
        on_lost()


def leave() -> None:
    """End this process at once, also while a kernel runs in another thread."""
    os._exit(1)


def main() -> None:
    """One worker on the socket whose number is the argument."""
    # Ctrl-C reaches the whole group of processes at the terminal; it is the driver that decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    serve(link, on_lost=leave)
    link.close()


if __name__ == "__main__":
    main()
