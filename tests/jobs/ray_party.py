# SPDX-License-Identifier: Apache-2.0
"""One party with a Ray cluster of its own, for test_executors_ray.py: a process, for a process has one Ray.

Arguments: folder of certificates, party, address, how this party's first worker ends ("no", "ray.kill" or
"kill -9"). A listener prints its port; both print what their ledger has, as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from typing import Any

import ray

from crypsis.mpc.jobs.ray_executor import RayExecutor
from crypsis.mpc.jobs.scheduler import run_bins
from crypsis.mpc.transport import ChannelOptions, open_hub
from crypsis.mpc.transport.certs import party_files
from jobs import toy

BINS = list(range(12))


def main(folder: str, party: str, address: str, ending: str) -> None:
    logging.basicConfig(level=logging.INFO)
    leads = party == "alice"
    options = ChannelOptions(window_bytes=64 << 10, chunk_bytes=16 << 10, patience_s=100)
    hub = open_hub(
        party=party,
        peer="bob" if leads else "alice",
        listen=address if leads else None,
        connect=None if leads else address,
        tls=party_files(folder, party),
        options=options,
    )
    print(hub.port, flush=True)
    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=100 << 20)
    ledger = toy.Ledger()
    ended: list[int] = []
    with RayExecutor(num_cpus=1) as executor:

        def on_done(number: int, result: dict[str, Any]) -> None:
            ledger.on_done(number, result)
            if ending != "no" and not ended:
                ended.append(result["pid"])
                if ending == "kill -9":
                    os.kill(result["pid"], signal.SIGKILL)
                else:
                    ray.kill(next(iter(executor.actors.values())))

        run_bins(
            hub,
            BINS,
            work=toy.work,
            spec={"n_bytes": 200_000, "pause": 0.2},
            leads=leads,
            executor=executor,
            n_workers=2,
            on_done=on_done,
            on_complete=ledger.on_complete,
            progress=ledger.on_progress,
        )
        left = len(executor.actors)
    hub.close()
    ledger.check(BINS)
    ray.shutdown()
    print(
        json.dumps(
            {"done": sorted(ledger.done.items()), "pids": sorted(ledger.pids), "ended": ended, "left": left}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
