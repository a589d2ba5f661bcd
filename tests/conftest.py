# SPDX-License-Identifier: Apache-2.0
"""What every test shares: Hypothesis without deadlines (machines are shared), `gpu` tests where there is one."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from crypsis.cuda import Device
    from cuda_on_cpu.device import ShimDevice
    from postgres_server import PostgresServer

# `make gpu-check` runs the `gpu` tests where Hypothesis need not be installed.
if find_spec("hypothesis") is not None:
    from hypothesis import settings

    settings.register_profile("default", deadline=None)
    settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))


def pytest_configure(config: pytest.Config) -> None:
    """A run inherits nothing that its tests would stumble over, and leaves nothing to others."""
    # What a script starts in the background ignores SIGINT, and so would all children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # What numba keeps, where it is told to keep something: this run's processes share it.
    if "NUMBA_CACHE_DIR" not in os.environ:
        _folder_for(config, "NUMBA_CACHE_DIR")
    # A benchmark beside tests is slow: its figures are not to be remembered as this machine's. Tools keep their place.
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for variable, folder in (
        ("CCACHE_DIR", "ccache"),
        ("MPLCONFIGDIR", "matplotlib"),
        ("PIP_CACHE_DIR", "pip"),
    ):
        os.environ.setdefault(variable, str(home / folder))
    _folder_for(config, "XDG_CACHE_HOME")


def _folder_for(config: pytest.Config, variable: str) -> None:
    folder = tempfile.TemporaryDirectory(prefix="crypsis-tests-")
    os.environ[variable] = folder.name
    config.add_cleanup(folder.cleanup)
    config.add_cleanup(lambda: os.environ.pop(variable, None))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """A test that fails while its processes run leaves none of them, and no pipe, to the tests after it: there they
    would be warnings, which are errors."""
    started: list[subprocess.Popen[str]] = []
    begin = subprocess.Popen.__init__

    def noted(process: subprocess.Popen[str], *args: object, **options: object) -> None:
        begin(process, *args, **options)  # type: ignore[arg-type, call-overload]
        started.append(process)

    subprocess.Popen.__init__ = noted  # type: ignore[assignment, method-assign]
    try:
        return (yield)
    finally:
        subprocess.Popen.__init__ = begin  # type: ignore[method-assign]
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()


@pytest.fixture(params=["forward", "reversed"])
def shim_device(request: pytest.FixtureRequest) -> Iterator[ShimDevice]:
    """cuda:0 for the time of the test: kernels run on the CPU, in either order of threads."""
    from crypsis.cuda._registry import registered
    from cuda_on_cpu.device import ShimDevice

    with registered(ShimDevice(order=request.param)) as device:
        yield device


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; skips where there can be none."""
    from postgres_server import NoServer, postgres_server

    pytest.importorskip("adbc_driver_postgresql", reason="needs ADBC: pip install 'crypsis[postgres]'")
    with ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server())
        except NoServer as error:
            pytest.skip(str(error))
        yield server


@pytest.fixture
def gpu_device() -> Device:
    """The first real GPU; for tests marked `gpu`."""
    from crypsis.cuda import get_device

    return get_device("cuda:0")


def _why_no_gpu() -> str | None:
    """None where a CUDA device can be used, else what is missing."""
    from crypsis.cuda import why_not

    return why_not()


# The files that take longest, the longest first: begun last, one of them keeps a process busy when the others are done.
# `make test` hands files out in this order; see `pytest --durations=60`.
LONG = (
    "test_cli_train.py",
    "test_cli_resume.py",
    "test_docs_run.py",
    "test_vole_jobs.py",
    "test_cli_query.py",
    "test_cli_bad_input.py",
    "test_cuda_short_memory.py",
    "test_bigint_constant_time.py",
    "test_cuda_rns.py",
    "test_evaluation_report.py",
    "test_cuda_memory.py",
    "test_cuda_ntt.py",
    "test_data_postgres.py",
    "test_vole_lpn.py",
    "test_data_postgres_errors.py",
    "test_tenseal_vectors.py",
    "test_psi_device.py",
    "test_paillier_wire.py",
    "test_ledger.py",
    "test_partition.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONG)))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    reason = _why_no_gpu() if marked else None
    for item in marked if reason else []:
        item.add_marker(pytest.mark.skip(reason=str(reason)))
