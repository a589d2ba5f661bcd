# SPDX-License-Identifier: Apache-2.0
"""SecretFlow's `spu.psi`, both parties on this machine over loopback, CSV to CSV.

    .venv-spu/bin/python benchmarks/peers/spu_psi.py --alice a.csv --bob b.csv --out DIR [--key id] [--protocol rr22]

Two processes, rank 0 (alice) receives; brpc without TLS, which is in the peer's favour. Prints one JSON
object: seconds (the slower party, from both being connected to the output written), wall_seconds (the two
processes with their imports), intersection, peak_rss (bytes of each process, without the `sort` and other
programs it starts), version, protocol and (with ecdh) curve of the peer. Needs the `spu` package only (`make peers`).
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from types import ModuleType

PROTOCOLS = ("ecdh", "rr22", "rr22-low-comm", "kkrt")


def party(rank: int, ports: list[int], options: argparse.Namespace) -> None:
    """One party's process: prints its JSON line."""
    from spu import psi
    from spu.libspu import link

    description = link.Desc()
    description.recv_timeout_ms = 600_000
    for number, port in enumerate(ports):
        description.add_party(f"party{number}", f"127.0.0.1:{port}")
    context = link.create_brpc(description, rank)
    context.barrier()
    name = ("alice", "bob")[rank]
    config = psi.PsiExecuteConfig(
        protocol_conf=protocol_of(psi, options),
        input_params=psi.InputParams(
            type=psi.SourceType.SOURCE_TYPE_FILE_CSV,
            path=str(getattr(options, name)),
            selected_keys=[options.key],
            keys_unique=True,
        ),
        output_params=psi.OutputParams(
            type=psi.SourceType.SOURCE_TYPE_FILE_CSV, path=str(options.out / f"{name}.csv")
        ),
    )
    start = time.perf_counter()
    report = psi.psi_execute(config, context)
    seconds = time.perf_counter() - start
    context.stop_link()
    # VmHWM, not ru_maxrss: that one begins with the size of the parent that was copied.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak_rss = int(status.split("VmHWM:")[1].split()[0]) * 1024
    row = {"seconds": seconds, "intersection": report.intersection_count, "peak_rss": peak_rss}
    print("RESULT " + json.dumps(row), flush=True)


def protocol_of(psi: ModuleType, options: argparse.Namespace) -> object:
    """The peer's configuration of the protocol; the receiver is rank 0."""
    names = {"ecdh": "PROTOCOL_ECDH", "kkrt": "PROTOCOL_KKRT"}
    chosen: dict[str, object] = {
        "protocol": getattr(psi.PsiProtocol, names.get(options.protocol, "PROTOCOL_RR22")),
        "receiver_rank": 0,
        "broadcast_result": options.broadcast,
    }
    if options.protocol == "ecdh":
        chosen["ecdh_params"] = psi.EcdhParams(curve=psi.parse_curve_type(options.curve))
    if options.protocol.startswith("rr22"):
        # Release 0.9.5 spells the class so.
        parameters = getattr(psi, "Rr22Params", None) or psi.Rr22Rarams
        chosen["rr22_params"] = parameters(low_comm_mode=options.protocol == "rr22-low-comm")
    return psi.PsiProtocolConfig(**chosen)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def both(arguments: list[str]) -> dict[str, object]:
    """Run the two processes and put their lines together; RuntimeError with what a failed one said."""
    ports = f"{free_port()},{free_port()}"
    start = time.perf_counter()
    command = [sys.executable, __file__, *arguments, "--ports", ports, "--rank"]
    processes = [
        subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in (0, 1)
    ]
    texts = [process.communicate()[0] for process in processes]
    wall_seconds = time.perf_counter() - start
    for trace in re.findall(r"Trace has been written to (\S+\.trace)", "".join(texts)):
        Path(trace).unlink(missing_ok=True)  # spu leaves one a run behind
    for process, text in zip(processes, texts, strict=True):
        if process.returncode != 0:
            raise RuntimeError(f"a party ended with exit code {process.returncode}:\n{text[-2000:]}")
    rows = [json.loads(text.split("RESULT ")[1].splitlines()[0]) for text in texts]
    return {
        "seconds": max(row["seconds"] for row in rows),
        "wall_seconds": wall_seconds,
        "intersection": rows[0]["intersection"],
        "peak_rss": [row["peak_rss"] for row in rows],
        "version": metadata.version("spu"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--alice", type=Path, required=True, help="CSV with a header")
    parser.add_argument("--bob", type=Path, required=True, help="CSV with a header")
    parser.add_argument("--out", type=Path, required=True, help="folder for alice.csv and bob.csv")
    parser.add_argument("--key", default="id", help="name of the key column")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="ecdh")
    parser.add_argument(
        "--curve", default="CURVE_25519", help="of ecdh: or CURVE_25519_ELLIGATOR2, CURVE_FOURQ, ..."
    )
    parser.add_argument("--broadcast", action="store_true", help="both parties get the result")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ports", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank is not None:
        party(options.rank, [int(port) for port in options.ports.split(",")], options)
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        known = {"protocol": options.protocol}
        known |= {"curve": options.curve} if options.protocol == "ecdh" else {}
        print(json.dumps(both(sys.argv[1:]) | known))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
