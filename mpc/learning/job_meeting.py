# SPDX-License-Identifier: Apache-2.0
"""Where two parties of a training are when they meet: the job's name, the rows both have aligned, the last state of
both. All messages are JSON on the control stream but for the intersection, which has a session of its own."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis.errors import ProtocolAbort
from crypsis.mpc.learning.checkpoints import Checkpoints, Step, common
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.job_input import intersect
from crypsis.mpc.learning.session import Session
from crypsis.mpc.psi.job_name import agree_name, is_hex
from crypsis.mpc.psi.options import Progress as PsiProgress
from crypsis.mpc.psi.options import PsiOptions
from crypsis.mpc.transport import Hub
from crypsis.mpc.transport.agreement import count_field

PSI_SESSION = 1
_NONCE_BYTES = 16
_MAX_STEP = 1 << 30
_MAX_STATES = 16


def agree_job(session: Session, checkpoints: Checkpoints) -> str:
    """Gives the job its name, and returns one for this run, in hexadecimal, that both have a part in.

    ConfigError at both parties where one has begun a job that the other does not know.
    """
    name, _ = agree_name(
        session.channel(),
        "receiver" if session.role == "guest" else "sender",
        checkpoints.identity.job.hex(),
        begun=checkpoints.progressed,
        n_rows=0,
        where=checkpoints.work.path,
    )
    if name is not None:
        checkpoints.name_job(name)
    own = secrets.token_hex(_NONCE_BYTES)
    session.tell(session.peer, "run", nonce=own)
    theirs = session.hear(session.peer, "run").get("nonce")
    if not isinstance(theirs, str) or not is_hex(theirs, (_NONCE_BYTES,)):
        raise ProtocolAbort(f"{session.peer} sent no name for the run; ended")
    first, second = (own, theirs) if session.role == "guest" else (theirs, own)
    return hashlib.sha256(f"crypsis/learning/run/v1 {first} {second}".encode()).hexdigest()[:32]


def aligned_rows(
    session: Session,
    checkpoints: Checkpoints,
    hub: Hub,
    frame: Frame,
    *,
    run: str,
    options: PsiOptions,
    progress: PsiProgress | None,
) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
    """Own rows in the order that both share, and counts: of an earlier run where both have them, or of an intersection
    now, whose end both write down."""
    known = checkpoints.rows()
    session.tell(session.peer, "rows", run=known[0] if known is not None else "")
    theirs = session.hear(session.peer, "rows").get("run")
    if known is not None and known[0] == theirs:
        return known[1], known[2]
    checkpoints.forget_rows()
    channel = hub.channel(PSI_SESSION)
    rows, counts = intersect(frame, channel, options, progress=progress)
    channel.close()
    checkpoints.save_rows(run, rows, counts)
    return rows, counts


def agree_states(session: Session, checkpoints: Checkpoints) -> Step | None:
    """The state that both go on from, None for the beginning; each removes its own that are later."""
    own = checkpoints.steps()
    session.tell(session.peer, "states", states=[[step.number, step.run] for step in own])
    told = session.hear(session.peer, "states").get("states")
    if not isinstance(told, list) or len(told) > _MAX_STATES:
        raise ProtocolAbort(f"{session.peer} sent no list of its checkpoints; ended")
    theirs = []
    for row in told:
        if not isinstance(row, list) or len(row) != 2 or not isinstance(row[1], str):
            raise ProtocolAbort(f"{session.peer} sent a checkpoint that is none; ended")
        theirs.append(Step(count_field({"step": row[0]}, "step", _MAX_STEP), row[1]))
    after = common(own, theirs)
    checkpoints.keep_to(after)
    return after
