# SPDX-License-Identifier: Apache-2.0
"""A VOLE-PSI job between files in bounded memory, which goes on where it stopped: a party's driver.

    stage        what is done then                                                               next stage
    new          read the input once; every row's digest and id go to the file of its outer bin  partitioned
    partitioned  workers of both parties exchange the bins, each bin's result is a file          exchanged
    exchanged    rows that matched go to the output, which both parties put in place together    written
    written      the work directory keeps the ledger only                                        complete

A bin is finished when both parties have its result on the disk; at the start of every run they tell each other which
ones they have, and what only one of them has is done again. Nothing else has to be remembered of the other party, so
either, or both, may be killed at any time.

Messages on the driver's own session, stream 0, JSON: {"type": "job"} before the input is read, with a commitment to
one's nonce and whether bins were exchanged ("begun": until then nothing is lost by a new name), and {"type": "nonce"}
for a new job; {"type": "sizes"} after, {"type": "have"} before the bins,
{"type": "totals"} before an aligned output. The configuration has been compared before.

The job's name is a hash of both nonces, and salts all digests: keys fall in bins, and digests are cut to 12 bytes, in a
way that neither party can choose.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from crypsis.errors import ConfigError, CorruptData, DataError, ProtocolAbort
from crypsis.mpc.data import IndexFile, Source, digest_stream
from crypsis.mpc.data.spill import BinWriter, SpillFile
from crypsis.mpc.jobs.executors import Executor
from crypsis.mpc.jobs.identity import Identity
from crypsis.mpc.jobs.ledger import Ledger, Result, Spill
from crypsis.mpc.jobs.scheduler import run_bins
from crypsis.mpc.jobs.workdir import WorkDir, verify_file
from crypsis.mpc.place import place_named
from crypsis.mpc.psi.agree import MAX_ROWS
from crypsis.mpc.psi.bins import RESULT_PREFIX, BinJob, work
from crypsis.mpc.psi.devices import Devices
from crypsis.mpc.psi.job import PsiOutcome, job_salt
from crypsis.mpc.psi.job_name import agree_name, check_digests, is_hex
from crypsis.mpc.psi.layout import MAX_OUTER, Layout, outer_bins
from crypsis.mpc.psi.layout import MAX_ROWS as MAX_OWN_ROWS
from crypsis.mpc.psi.memory import Budget
from crypsis.mpc.psi.options import Progress, PsiOptions
from crypsis.mpc.psi.report import FileRecord
from crypsis.mpc.psi.space import spilled_bytes
from crypsis.mpc.psi.vole.room import steps_at_a_time
from crypsis.mpc.transport import Channel, Hub
from crypsis.mpc.transport.agreement import count_field, recv_json, send_json

_log = logging.getLogger("crypsis.psi")

_SPILLS = "spills"
SPOOL = "input"
"""Folder of the work directory for the result of a query, which outlives the ledger of a run that begins anew."""


@dataclass
class SpilledJob:
    """One party's job in one work directory; the methods are called in the order in which they stand."""

    directory: WorkDir
    identity: Identity
    options: PsiOptions
    bin_rows: int
    budget: Budget
    progress: Progress | None
    outcome: PsiOutcome = field(default_factory=PsiOutcome)
    ledger: Ledger | None = None
    layout: Layout | None = None
    finished_before: int = 0
    peer_rows: int = 0
    devices: Devices = field(default_factory=lambda: Devices("cpu"))
    bins_by_device: Counter[str] = field(default_factory=Counter)
    in_place: bool = False

    # -- before the peer is met

    def open(self) -> None:
        """Takes up the ledger, if there is one. Raises ConfigError, DataError where it is of another job, of another
        version or damaged, or where the input has changed."""
        if not Ledger.exists(self.directory):
            return
        ledger = Ledger.open(self.directory)
        try:
            ledger.check(self.identity)
        except (ConfigError, DataError):
            complete = ledger.stage == "complete"
            ledger.close()
            if not complete:
                raise
            self.forget_ended()  # nothing is lost: that job has ended, and this is another
            return
        self.ledger = ledger
        self._remove_results(keep={result.name for result in ledger.results()})

    def forget_ended(self) -> None:
        """Clears the directory of a job that has ended, for another one, which must not begin with its query result."""
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None
        had_result = os.path.isdir(self.directory.file(SPOOL))
        self.directory.clear()
        if had_result:
            raise ConfigError(
                f"{self.directory.path}: held a finished job and the result of its query; both were removed: run the "
                "command again"
            ) from None

    @property
    def stage(self) -> str:
        """How far the job is here; "" before it was begun."""
        return self.ledger.stage if self.ledger is not None else ""

    def start_over(self) -> None:
        """Forgets an earlier run."""
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None
        self.directory.clear(keep=(SPOOL,))

    # -- with the peer

    def meet(self, channel: Channel, n_rows: int) -> None:
        """Agrees on which job this is, and for a new one on its bins. n_rows: own rows, as far as they are known."""
        known = self.ledger.identity.job.hex() if self.ledger is not None else ""
        begun = self.ledger is not None and bool(self.ledger.bins())
        job, self.peer_rows = agree_name(
            channel, self.options.role, known, begun=begun, n_rows=n_rows, where=self.directory.path
        )
        if job is None:
            self._note(f"goes on with job {known[:8]}")
            return
        self.start_over()
        n_outer = outer_bins(max(n_rows, self.peer_rows), self.bin_rows)
        self.ledger = Ledger.begin(self.directory, self.identity)
        with self.ledger.transaction():
            self.ledger.name_job(job)
            self.ledger.set_fact("n_outer", n_outer)

    def partition(self, source: Source, n_rows: int) -> None:
        """Reads the input and spills it, unless an earlier run did. n_rows: what is known, or guessed, of its rows."""
        ledger, outcome = self._ledger(), self.outcome
        if ledger.stage == "new":
            self._spill(source, n_rows)
        outcome.n_rows, outcome.n_null = ledger.fact("n_rows"), ledger.fact("n_null")

    def _spill(self, source: Source, n_rows: int) -> None:
        ledger, options = self._ledger(), self.options
        n_outer = ledger.fact("n_outer")
        folder = self.directory.directory(_SPILLS)
        expected = source.n_rows
        if expected is not None:
            self._check_rows(expected)
        self.directory.require_space(spilled_bytes(n_rows), f"the spilled bins of about {n_rows} rows")
        stream = digest_stream(
            source,
            options.keys,
            null_policy=options.null_policy,
            algorithm=options.hash,
            salt=job_salt(options) + ledger.identity.job,
            progress=self.progress,
            threads=options.threads,
        )
        try:
            with BinWriter(
                folder,
                n_outer,
                memory_bytes=self.budget.writer_bytes,
                expected_rows=expected,
                threads=options.threads,
            ) as writer:
                for digests, rows in stream:
                    self._check_rows(stream.n_rows)
                    writer.add(digests, rows)
                files = writer.finish()
        finally:
            stream.close()
        with ledger.transaction():
            ledger.set_fact("n_rows", stream.n_rows)
            ledger.set_fact("n_null", stream.n_null)
            ledger.partitioned(
                Spill(
                    bin=file.bin,
                    name=os.path.basename(file.path),
                    n_records=file.n_records,
                    n_bytes=file.n_bytes,
                    sha256=file.sha256,
                )
                for file in files
            )

    def _check_rows(self, n_rows: int) -> None:
        if n_rows > MAX_OWN_ROWS:
            raise DataError(
                f"the input has more than {MAX_OWN_ROWS} rows: split it, and run a job for each part"
            )

    def agree_sizes(self, channel: Channel) -> None:
        """Tells each other how many rows have keys: what all sizes follow from."""
        ledger, outcome = self._ledger(), self.outcome
        own = outcome.n_rows - outcome.n_null
        n_outer = ledger.fact("n_outer")
        send_json(channel, {"type": "sizes", "n_keyed": own, "n_outer": n_outer})
        theirs = recv_json(channel, "sizes")
        peer = count_field(theirs, "n_keyed", MAX_OWN_ROWS)
        if count_field(theirs, "n_outer", MAX_OUTER) != n_outer:
            raise ConfigError(
                f"{channel.peer} has {theirs['n_outer']} bins and {n_outer} are here: remove both work directories to "
                "start over"
            )
        if ledger.fact("n_peer", peer) != peer:
            raise ConfigError(
                f"{channel.peer} had {ledger.fact('n_peer')} rows with keys when the job was begun and has {peer} now: "
                "its input changed; remove both work directories to start over"
            )
        check_digests(own, peer, n_outer)
        ledger.set_fact("n_peer", peer)
        self._set_sizes(own, peer)

    def _set_sizes(self, own: int, peer: int) -> None:
        self.outcome.n_peer_unique = peer
        receives = self.options.role == "receiver"
        self.layout = Layout(
            n_receiver=own if receives else peer,
            n_sender=peer if receives else own,
            n_outer=self._ledger().fact("n_outer"),
            security=self.options.security,
            setting=self.options.setting,
        )

    def exchange(self, hub: Hub, executor: Executor, n_workers: int) -> None:
        """Runs the bins that are not finished at both parties."""
        ledger = self._ledger()
        todo = self._todo(hub.channel(0))
        if todo:
            self.budget.check(self._layout(), self.outcome.n_rows, writes=self.options.has_output)
        n_outer = ledger.fact("n_outer")
        finished = self.finished_before = n_outer - len(todo)
        if finished:
            self._note(f"{finished} of {n_outer} bins are finished already")
        spills = {row.bin: row for row in ledger.spills()}
        folder = self.directory.file(_SPILLS)
        job = BinJob(
            role=self.options.role,
            layout=self._layout(),
            job_id=ledger.identity.job.hex(),
            work_dir=self.directory.path,
            spills={
                bin: SpillFile(bin, os.path.join(folder, row.name), row.n_records, row.n_bytes, row.sha256)
                for bin, row in ((bin, spills[bin]) for bin in todo)
            },
            broadcast=self.options.broadcast,
            aligned=self.options.aligned,
            own_side=self.options.own_side,
            chunk_records=self.budget.chunk_records(self._layout()),
            max_output_rows=self.max_output_rows(),
            threads=self.options.threads,
        )
        done = finished
        with ledger.transaction():
            for bin in todo:
                ledger.start(bin)

        reported: set[int] = set()

        def on_done(bin: int, result: dict[str, Any]) -> None:
            if bin in reported:  # its pair was lost before the peer had it, and another has done it again
                ledger.redo(bin)
            reported.add(bin)
            self.bins_by_device[result["device"]] += 1
            ledger.finish(
                Result(
                    bin=bin,
                    name=result["name"],
                    n_unique=result["unique"],
                    n_matched=result["matched"] or 0,
                    n_rows=result["rows"],
                    n_bytes=4 * result["rows"],
                    sha256=result["sha256"],
                )
            )

        def on_complete(bin: int) -> None:
            nonlocal done
            done += 1
            self.directory.remove(job.spills[bin].path)
            if self.progress is not None:
                self.progress("exchange bins", done, n_outer)

        if todo:
            run_bins(
                hub,
                todo,
                work=work,
                spec=job.as_spec(),
                executor=executor,
                leads=self.options.role == "receiver",
                on_done=on_done,
                on_complete=on_complete,
                n_workers=n_workers,
                by_worker=self.devices.by_worker(n_workers),
            )
        if self.stage == "partitioned":  # a run after the last bin finds a later one
            ledger.advance("exchanged")
        self._count_keys()

    def _count_keys(self) -> None:
        results = self._ledger().results()
        self.outcome.n_unique = sum(result.n_unique for result in results)
        if self.options.has_output:
            self.outcome.n_matched = sum(result.n_matched for result in results)

    def _todo(self, channel: Channel) -> list[int]:
        """Bins that are not finished at both parties; what only one has counts as never done."""
        ledger = self._ledger()
        n_outer = ledger.fact("n_outer")
        own = set(range(n_outer)) - set(ledger.todo())
        for result in ledger.results():
            if result.name and self.stage != "complete":  # a complete job's results are spent
                verify_file(
                    self.directory.file(result.name),
                    n_bytes=result.n_bytes,
                    sha256=result.sha256,
                    what=f"the result of bin {result.bin}",
                )
        bits = np.zeros(n_outer, np.uint8)
        bits[list(own)] = 1
        send_json(channel, {"type": "have", "bins": np.packbits(bits, bitorder="little").tobytes().hex()})
        text = recv_json(channel, "have").get("bins")
        if not is_hex(text, ((n_outer + 7) // 8,)):
            raise ProtocolAbort(f"{channel.peer} sent a list of finished bins of another length; ended")
        theirs = np.unpackbits(
            np.frombuffer(bytes.fromhex(str(text)), np.uint8), count=n_outer, bitorder="little"
        )
        todo = [bin for bin in range(n_outer) if bin not in own or not theirs[bin]]
        names = {row.bin: row.name for row in ledger.spills()}
        for bin in todo:
            if bin in own:
                ledger.redo(bin)
            path = os.path.join(self.directory.file(_SPILLS), names[bin])
            if not os.path.exists(path):
                raise DataError(
                    f"{path}: is gone, and {channel.peer} has not finished bin {bin}: remove both work directories to "
                    "start over"
                )
        return todo

    # -- the output

    def results(self) -> list[IndexFile]:
        """The finished bins' files, in order of the bins."""
        return [
            IndexFile(self.directory.file(result.name), result.n_rows, "<u4", result.sha256)
            for result in self._ledger().results()
            if result.name
        ]

    def find_output(self, path: str | None) -> None:
        """Whether an earlier run, killed once both parties had staged, had put the output at its `path`: `in_place`,
        true too for a party without one. By its SHA-256: what else stands there is not ours."""
        if self.stage not in ("written", "complete"):
            return
        record, _ = self.output_record()
        self.in_place = path is None or (record is not None and _is_there(path, record))
        if self.in_place and self.stage == "written":
            self.complete()

    def agree_totals(self, channel: Channel, unmatched_rows: int | None = None) -> int:
        """For an aligned output: tells how many own rows without partner it has (None: as an earlier run did), and
        returns the peer's number: {"type": "totals", "unmatched_rows"}."""
        ledger = self._ledger()
        if unmatched_rows is None:
            unmatched_rows = ledger.fact("unmatched_rows", 0)
        else:
            ledger.set_fact("unmatched_rows", unmatched_rows)
        send_json(channel, {"type": "totals", "unmatched_rows": unmatched_rows})
        return count_field(recv_json(channel, "totals"), "unmatched_rows", MAX_ROWS)

    def record_output(self, record: FileRecord, n_rows: int) -> None:
        """Writes down what the output is, before the peer is told that it is staged."""
        self._ledger().set_fact("output", asdict(record) | {"n_rows": n_rows})

    def output_record(self) -> tuple[FileRecord | None, int | None]:
        """Of the output that was staged last, and its rows; None for a party without one."""
        fact = self._ledger().fact("output")
        if fact is None:
            return None, None
        n_rows = fact.pop("n_rows")
        return FileRecord(**fact), n_rows

    def written(self) -> None:
        """Both parties' outputs are staged."""
        if self.stage == "exchanged":
            self._ledger().advance("written")

    def recall(self) -> None:
        """Of a complete job, without the peer: what the report says of it."""
        ledger, outcome = self._ledger(), self.outcome
        outcome.n_rows, outcome.n_null = ledger.fact("n_rows"), ledger.fact("n_null")
        self._set_sizes(outcome.n_rows - outcome.n_null, ledger.fact("n_peer"))
        self._count_keys()
        self.finished_before = ledger.fact("n_outer")

    @property
    def peer_is_done(self) -> bool:
        """The peer has said that its output is in place: it does not need this work directory any more."""
        return self.ledger is not None and self.ledger.fact("peer_is_done", False) is True

    def note_peer_done(self) -> None:
        """See `peer_is_done`."""
        self._ledger().set_fact("peer_is_done", True)

    def complete(self) -> None:
        """The output is in place: bins and results are spent."""
        ledger = self._ledger()
        ledger.advance("complete")
        self._remove_results(keep=set())

    def _remove_results(self, *, keep: set[str]) -> None:
        """Of bins; those that no ledger names are of attempts that were cut off, or that another one replaced."""
        for name in os.listdir(self.directory.path):
            if name.startswith(RESULT_PREFIX) and name not in keep:
                self.directory.remove(self.directory.file(name))

    def destroy(self) -> None:
        """Nothing of the work directory is needed any more."""
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None
        self.directory.destroy()

    def as_report(self) -> dict[str, Any]:
        """The public sizes, and how many bins this run, and earlier ones, did."""
        layout = self._layout()
        return {
            "outer": layout.n_outer,
            "inner_each": layout.inner,
            "receiver_bound": layout.receiver_bound,
            "sender_bound": layout.sender_bound,
            "table_columns": layout.table.columns,
            "field_bits": layout.field,
            "tag_bytes": layout.tag_bytes,
            "finished_before": self.finished_before,
        }

    def close(self) -> None:
        """Lets go of the ledger; what is in it stays."""
        if self.ledger is not None:
            self.ledger.close()

    def check_memory(self, n_rows: int) -> None:
        """Raises ConfigError where a job of about n_rows rows here, and those that the peer told, is too large for the
        memory: known before anything is read."""
        most = min(max(n_rows, self.peer_rows), MAX_OWN_ROWS)
        options = self.options
        layout = Layout(most, most, self._ledger().fact("n_outer"), options.security, options.setting)
        self.budget.check(layout, min(n_rows, MAX_OWN_ROWS), writes=options.has_output)
        for given in self.devices.by_worker(self.budget.workers):
            steps_at_a_time(place_named(given["device"], given["room"]), layout, self.budget.threads)

    def max_output_rows(self) -> int:
        """Of the whole job, and so of a bin."""
        from crypsis.mpc.data.joins import DEFAULT_EXTRA_ROWS, DEFAULT_GROWTH

        return self.options.max_output_rows or DEFAULT_GROWTH * self.outcome.n_rows + DEFAULT_EXTRA_ROWS

    def _ledger(self) -> Ledger:
        if self.ledger is None:
            raise ValueError("the job has not been begun: call meet first")
        return self.ledger

    def _layout(self) -> Layout:
        if self.layout is None:
            raise ValueError("the sizes are not known yet: call agree_sizes first")
        return self.layout

    def _note(self, text: str) -> None:
        _log.info("%s: %s", self.directory.path, text)


def _is_there(path: str, record: FileRecord) -> bool:
    """A file with just these bytes."""
    try:
        verify_file(path, n_bytes=record.n_bytes, sha256=record.sha256, what="the output")
    except CorruptData:
        return False
    return True
