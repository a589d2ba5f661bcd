# SPDX-License-Identifier: Apache-2.0
"""`TrainRun`: what the parts of one run of a training hand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crypsis.mpc.data import Source
from crypsis.mpc.jobs.around import Phases
from crypsis.mpc.learning.checkpoints import Checkpoints, Step
from crypsis.mpc.learning.config import TrainConfig
from crypsis.mpc.learning.meter import Progress
from crypsis.mpc.learning.session import Session
from crypsis.mpc.psi.report import FileRecord


@dataclass
class TrainRun:
    """run: the name of this run, in hexadecimal. after: the state it goes on from. steps: of preprocessing, fitted.
    kinds: seconds by kind. warnings: what the report says beside the log."""

    config: TrainConfig
    source: Source
    record: FileRecord
    phases: Phases
    checkpoints: Checkpoints
    session: Session
    progress: Progress | None
    run: str = ""
    after: Step | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    steps: list[Any] = field(default_factory=list)
    kinds: dict[str, float] = field(default_factory=dict)
