# SPDX-License-Identifier: Apache-2.0
"""What is compiled, what this CPU and its GPUs can run, and what a call will use."""

from __future__ import annotations

import os
from dataclasses import dataclass

from crypsis import _arguments, _core
from crypsis.errors import BackendUnavailable

SLUGS = _core.SLUGS
"""The kernels of this build; csrc/common/slugs.h has the list."""


@dataclass(frozen=True)
class BackendRow:
    """One backend of one slug (and variant, where a slug has several); `reason` says why it is not the chosen one."""

    slug: str
    variant: str
    backend: str
    compiled: bool
    supported: bool
    chosen: bool
    reason: str


def report() -> list[BackendRow]:
    """Every backend of every slug, best first, as a call made now would resolve it (CRYPSIS_BACKEND included).

    The row "cuda" of a slug with CUDA kernels is never `chosen`: the device follows the data, so it runs for arrays
    on a GPU and the chosen backend for all others. `compiled` means that this package has the kernels' source.
    """
    rows = _cpu_rows()
    cuda = _cuda_rows(rows)
    report: list[BackendRow] = []
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        report.append(row)
        if following is None or (following.slug, following.variant) != (row.slug, row.variant):
            report += cuda.get((row.slug, row.variant), [])
    return report


def _cuda_rows(cpu_rows: list[BackendRow]) -> dict[tuple[str, str], list[BackendRow]]:
    """The row "cuda" of each slug and variant whose kernels this package has."""
    from crypsis import cuda
    from crypsis.cuda._source import kernels_root

    root = kernels_root()
    reason = cuda.why_not()
    supported = reason is None
    if supported:
        reason = "runs for arrays on " + ", ".join(f"{info.name} ({info.model})" for info in cuda.devices())
    return {
        (row.slug, row.variant): [
            BackendRow(row.slug, row.variant, "cuda", True, supported, False, str(reason))
        ]
        for row in cpu_rows
        if (root / row.slug / f"{row.slug}.cu").is_file()
    }


def _cpu_rows() -> list[BackendRow]:
    rows: list[BackendRow] = []
    for slug in SLUGS:
        for status in getattr(_core, slug).backends():
            rows.append(
                BackendRow(
                    status.slug,
                    status.variant,
                    status.backend,
                    status.compiled,
                    status.supported,
                    status.chosen,
                    status.reason,
                )
            )
    return rows


def runnable(slug: str, variant: str = "") -> list[str]:
    """Names of the backends of `slug` that this CPU can run, best first: what tests and benchmarks iterate."""
    return [r.backend for r in _cpu_rows() if r.slug == slug and r.variant == variant and r.supported]


def check_forced() -> None:
    """Raises `BackendUnavailable`, one message for all slugs, where `CRYPSIS_BACKEND` asks for what cannot be had."""
    for slug in SLUGS:
        _core.requested_backend(slug)  # a list that is not well formed has its own message
    served: dict[str, bool] = {}
    for row in _cpu_rows():
        kernel = f"{row.slug}/{row.variant}".rstrip("/")
        served[kernel] = served.get(kernel, False) or row.chosen
    refused = [kernel for kernel, chosen in served.items() if not chosen]
    if refused:
        raise BackendUnavailable(
            f"CRYPSIS_BACKEND is {os.environ.get('CRYPSIS_BACKEND')!r}, which cannot run here for "
            f"{', '.join(refused)}: unset it, or name backends that `crypsis backends` shows for this CPU"
        )


def n_threads(threads: int | None = None) -> int:
    """The threads that a kernel would take: `threads`, else CRYPSIS_NUM_THREADS, else the CPUs of the process. Raises
    ValueError for a number, or a variable, that is none."""
    return _core.resolve_threads(_arguments.threads(threads))


def cpu_features() -> list[str]:
    """Instruction-set features found, with operating-system support for their registers."""
    return _core.cpu_features().split()
