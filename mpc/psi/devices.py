# SPDX-License-Identifier: Apache-2.0
"""Which devices a party's bins are worked on: what its `device` says, and why. The peer is not told.

    cpu                 the host
    cuda, cuda:1        that GPU; `cuda` is the first
    cuda:0,cuda:1       bins are spread over them: worker i of the party takes the i-th, so there are as many workers
    auto                the GPUs that can be used, at most one a worker; the host where there is none

A device that is named and cannot be used is an error, never another device.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from crypsis import cuda
from crypsis.errors import BackendUnavailable, ConfigError, DeviceError, DeviceMemoryError

CPU, AUTO = "cpu", "auto"
_GPU = re.compile(r"cuda(?::(0|[1-9]\d{0,3}))?")


def parse_devices(text: str) -> tuple[str, ...]:
    """("cpu",), ("auto",), or the names of GPUs. ConfigError for anything else."""
    if not isinstance(text, str):
        raise ConfigError(f"device is {text!r}: give a text, such as cpu, auto or cuda:0")
    if text in (CPU, AUTO):
        return (text,)
    names = []
    for part in text.split(","):
        found = _GPU.fullmatch(part.strip())
        if found is None:
            raise ConfigError(
                f"device is {text!r}: give cpu, auto, or GPUs with commas between them, such as cuda:0 or cuda:0,cuda:1"
            )
        names.append(f"cuda:{found[1] or 0}")
    if len(set(names)) != len(names):
        raise ConfigError(f"device is {text!r}: it names a GPU twice; name each once")
    return tuple(names)


@dataclass(frozen=True)
class Devices:
    """What `find_devices` came to."""

    asked: str
    """As the configuration has it."""
    used: tuple[str, ...] = (CPU,)
    """ "cpu", or names of GPUs."""
    models: tuple[str, ...] = ()
    """Of the GPUs."""
    why: str = "named in the configuration"

    def first(self, why: str) -> Devices:
        """The first of them alone."""
        if len(self.used) == 1:
            return self
        return replace(self, used=self.used[:1], models=self.models[:1], why=f"{self.why}; {why}")

    def by_worker(self, n_workers: int) -> list[dict[str, Any]]:
        """What each of n_workers workers is told: its device, and how many bytes of it are its own. Those that share a
        GPU begin one after the other: what is free then is less by what the first have taken, and is not divided."""
        sharing = -(-n_workers // len(self.used))
        return [
            {"device": name, "room": None if name == CPU else cuda.get_device(name).free_bytes() // sharing}
            for name in self.used
        ]

    def as_report(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    def __str__(self) -> str:
        shown = (
            [f"{name} ({model})" for name, model in zip(self.used, self.models, strict=True)]
            if self.models
            else []
        )
        return ", ".join(shown or self.used)


def find_devices(asked: str, n_workers: int = 1) -> Devices:
    """The devices for `n_workers` workers. Raises ConfigError, BackendUnavailable with what to do."""
    names = parse_devices(asked)
    if names == (CPU,):
        return Devices(asked)
    if names == (AUTO,):
        return _find_auto(n_workers)
    if len(names) > n_workers:
        workers = "workers is 1" if n_workers == 1 else f"workers is {n_workers}"
        raise ConfigError(
            f"device names {len(names)} GPUs, and {workers}: a bin is worked on by one worker at one GPU; set "
            f"`workers` to {len(names)} or more at both parties (protocol vole between files), or name fewer GPUs"
        )
    models = tuple(cuda.get_device(name).info().model for name in names)
    return Devices(asked, names, models)


def _find_auto(n_workers: int) -> Devices:
    reason = cuda.why_not()
    if reason is not None:
        return Devices(AUTO, why=f"no GPU can be used: {reason}")
    found = cuda.devices()
    taken = found[:n_workers]
    why = f"{len(found)} GPU{'s' * (len(found) > 1)} can be used"
    if len(taken) < len(found):
        why += f", and there {'is one worker' if n_workers == 1 else f'are {n_workers} workers'}"
    return Devices(AUTO, tuple(info.name for info in taken), tuple(info.model for info in taken), why)


def lost(error: BackendUnavailable, then: str) -> BackendUnavailable:
    """`error` of a device in the middle of a job, with how the job can go on. Not only DeviceError: to a worker that is
    started again, in a new process, the device is one that is not there."""
    kinds = (DeviceMemoryError, DeviceError, BackendUnavailable)
    return next(kind for kind in kinds if isinstance(error, kind))(f"{error}; {then}")
