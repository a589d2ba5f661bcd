# SPDX-License-Identifier: Apache-2.0
"""Two operating-system processes that run `crypsis train` or `crypsis predict`, and the files they work on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from crypsis.mpc.learning.model_files import ModelPart
from crypsis.mpc.transport.certs import make_development_certificates
from crypsis.mpc.transport.ports import free_port
from transport.proxy import DroppingProxy

from .parties import COMMAND, Finished, ended, in_the_middle

PARTIES = ("bank", "telco")
WAIT_S = 280
ALGORITHMS: dict[str, dict[str, Any]] = {
    # Short steps: with the default ones weights wander about the solution as far as batches of 16 rows differ.
    "logistic-regression": {"C": 0.1, "max_epochs": 6, "batch_size": 16, "learning_rate": 0.3, "tol": 0.0},
    "linear-regression": {"max_epochs": 6, "batch_size": 16, "learning_rate": 0.1, "tol": 0.0},
    "gradient-boosting": {"n_estimators": 6, "max_depth": 2},
    "gradient-boosting-regression": {"n_estimators": 6, "max_depth": 2},
}


class Training:
    """Two parties with 150 customers in common of 195 each, or with `aligned` the same 195 in the same order. The label
    is "bad" (0, 1), "grade" (0, 1, 2) or "loss" (a number). warm: kills are of processes as in `warm`."""

    def __init__(self, folder: Path, *, aligned: bool = False, warm: bool = False) -> None:
        self.folder, self.port = folder, free_port()
        self.warm = warm
        self.psi = None if aligned else {}
        make_development_certificates(folder / "certs", list(PARTIES))
        draws = np.random.default_rng(3)
        x = draws.normal(size=(240, 4))
        loss = x[:, 0] - x[:, 2] + draws.normal(0, 0.5, 240)
        ids = [f"customer-{i:05}" for i in range(240)]
        bank = draws.permutation(195)
        telco = bank if aligned else draws.permutation(np.arange(45, 240))
        columns: dict[str, dict[str, Any]] = {
            "bank": {
                "age": x[bank, 0],
                "income": x[bank, 1],
                "bad": (loss[bank] > 0).astype(np.int64),
                "grade": np.digitize(loss[bank], [-0.7, 0.7]),
                "loss": loss[bank],
            },
            "telco": {"calls": x[telco, 2], "spend": x[telco, 3]},
        }
        for party, rows in (("bank", bank), ("telco", telco)):
            self.write(party, id=[ids[i] for i in rows], **columns[party])

    def write(self, party: str, **columns: Any) -> None:
        pq.write_table(pa.table(columns), self.folder / f"{party}.parquet")

    def table(self, party: str) -> dict[str, Any]:
        table = pq.read_table(self.folder / f"{party}.parquet")
        return {name: table[name].to_numpy() for name in table.column_names}

    # Configurations.

    def config(self, party: str, algorithm: str, *, label: str = "bad", **fields: Any) -> None:
        own: dict[str, Any] = {}
        if party == "bank":
            own = {"label": label, "features": ["age", "income"], "html_report": False}
        common = {
            "algorithm": algorithm,
            "parameters": ALGORITHMS[algorithm],
            "cipher": {"key_bits": 2048},
        }
        self._write(party, "train", **{**common, **own, **fields})

    def _write(self, party: str, name: str, **fields: Any) -> None:
        config = {
            "party": party,
            "peer": "telco" if party == "bank" else "bank",
            "role": "guest" if party == "bank" else "host",
            "listen" if party == "bank" else "connect": f"127.0.0.1:{self.port}",
            "tls": {"ca": "certs/ca.crt", "certificate": f"certs/{party}.crt", "key": f"certs/{party}.key"},
            "input": f"{party}.parquet",
            "keys": "id",
            "psi": self.psi,
            "model": f"{party}.model.json",
            "threads": 1,
            "patience": 60,
            **fields,
        }
        text = json.dumps({key: value for key, value in config.items() if value is not None})
        (self.folder / f"{party}.{name}.json").write_text(text)

    def predict_config(self, party: str, **fields: Any) -> None:
        output = {"output": "scores.csv"} if party == "bank" else {}
        self._write(party, "predict", **(output | fields))

    def change(self, party: str, command: str = "train", **fields: Any) -> None:
        """Fields of a configuration that was written."""
        path = self.folder / f"{party}.{command}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    # Runs.

    def start(self, party: str, command: str = "train", **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, command, "--config", str(self.folder / f"{party}.{command}.json")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"MPLBACKEND": "agg"} | env,
        )

    def run(self, command: str = "train", **env: str) -> tuple[Finished, Finished]:
        return ended(*[self.start(party, command, **env) for party in PARTIES], wait_s=WAIT_S)

    # What there is.

    def work(self, party: str) -> Path:
        return self.folder / f"{party}.model.json.work"

    def states(self, party: str) -> list[int]:
        return sorted(int(path.stem.split("-")[1]) for path in self.work(party).glob("step-*.state"))

    def last_state(self, party: str) -> int:
        """-1 before the first."""
        return max(self.states(party), default=-1)

    def model(self, party: str) -> Path:
        return self.folder / f"{party}.model.json"

    def part(self, party: str) -> dict[str, Any]:
        return dict(ModelPart.load(self.model(party)).body)

    def report(self, party: str) -> dict[str, Any]:
        found = json.loads((self.folder / f"{party}.model.json.report.json").read_text())
        assert isinstance(found, dict)
        return found

    def is_done(self, party: str) -> bool:
        """Its model is in place, and nothing is left to do."""
        return self.model(party).exists() and not self.work(party).exists()

    # Kills.

    def begin(self, *parties: str) -> dict[str, Any]:
        """Processes of trainings by party."""
        if not self.warm:
            return {party: self.start(party) for party in parties}
        from .warm import Warm

        config = {party: str(self.folder / f"{party}.train.json") for party in parties}
        told = {party: self.folder / f"{party}.told" for party in parties}
        return {party: Warm(["train", "--config", config[party]], told[party]) for party in parties}

    def end(self, processes: dict[str, Any]) -> dict[str, Finished]:
        """How they ended."""
        if self.warm:
            return {party: process.finished(WAIT_S) for party, process in processes.items()}
        found = ended(*processes.values(), wait_s=WAIT_S)
        return dict(zip(processes, found if len(processes) > 1 else [found], strict=True))

    def kill_after(self, step: int, *victims: str) -> None:
        """kill -9 of the victims once all have a state of that step; who is left ends by itself and says why. Nothing
        passes between the two from then to the kill: no run is over before, however late it comes."""
        with DroppingProxy(self.port) as proxy:
            proxy.go_silent_when(lambda: min(self.last_state(victim) for victim in victims) >= step)
            for party in PARTIES:  # who is left waits so long
                self.change(party, patience=12)
            self.change("telco", connect=f"127.0.0.1:{proxy.port}")
            processes = self.begin(*PARTIES)
            assert in_the_middle(proxy, processes, WAIT_S), self.end(processes)
            for victim in victims:
                processes[victim].kill()
            proxy.resume()
            finished = self.end(processes)
        for party in PARTIES:
            self.change(party, patience=60)
        self.change("telco", connect=f"127.0.0.1:{self.port}")
        for party, found in finished.items():
            if party in victims:
                assert found.code == -signal.SIGKILL, found
            else:
                assert found.code in (5, 6), found
                assert victims[0] in found.error(found.code)
        assert not any(self.model(party).exists() for party in PARTIES)

    def kill_at_random(self, chance: random.Random, victim: str, seconds: float) -> int | None:
        """kill -9 of the victim, within so many seconds of the start of both, or a short moment after its next state;
        its last state, -1 before the first, None where its run was over before. Who is left ends by itself."""
        before = self.last_state(victim)
        for party in PARTIES:
            self.change(party, patience=5)
        processes = self.begin(*(party for party in PARTIES if not self.is_done(party)))
        deadline = time.monotonic() + chance.uniform(0.1, 0.8) * seconds
        if chance.random() < 0.7:
            begun = time.monotonic()
            while self.last_state(victim) <= before and time.monotonic() < begun + WAIT_S:
                if victim not in processes or processes[victim].poll() is not None:
                    break
                time.sleep(0.005)
            deadline = time.monotonic() + chance.uniform(0.0, 0.1) * seconds
        while time.monotonic() < deadline and any(p.poll() is None for p in processes.values()):
            time.sleep(0.005)
        last = None
        if victim in processes and processes[victim].poll() is None:
            processes[victim].kill()
            last = self.last_state(victim)
        for party, found in self.end(processes).items():
            assert "Traceback" not in found.stderr, found
            if found.code == 5 and len(processes) == 1:  # its peer was done before
                assert "the model is complete since an earlier run" in found.stderr, found
            else:
                assert found.code in ((-signal.SIGKILL, 0) if party == victim else (0, 5, 6)), found
        return last

    def finish(self) -> None:
        """The same command at both until both are done. A party whose peer is done needs to be told so by hand."""
        for party in PARTIES:
            self.change(party, patience=60)
        for _ in range(3):
            going = [party for party in PARTIES if not self.is_done(party)]
            if not going:
                return
            found = self.end(self.begin(*going))
            for party in going:
                if found[party].code and len(going) == 1:
                    assert "the model is complete since an earlier run" in found[party].stderr, found
                    assert self.model(party).exists()
                    shutil.rmtree(self.work(party))
                else:
                    assert found[party].code == 0, found
        assert all(self.is_done(party) for party in PARTIES)


def succeeded(*parties: Finished) -> None:
    for party in parties:
        assert party.code == 0, party
        assert party.stderr == "", party
