# SPDX-License-Identifier: Apache-2.0
"""The commands. Modules that take long to import are imported inside the command that needs them."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from crypsis.mpc.cli.bench import bench
from crypsis.mpc.cli.plan import plan
from crypsis.mpc.cli.predict import predict
from crypsis.mpc.cli.psi_run import psi_run
from crypsis.mpc.cli.query import query
from crypsis.mpc.cli.train import train

app = typer.Typer(
    name="crypsis",
    help="Private computation between parties: set intersection, list queries and training of models over mutual "
    "TLS, on fast kernels.",
    epilog="Exit codes: 0 done, 2 usage or configuration, 3 backend, 4 data, 5 peer or network, 6 protocol, "
    "70 defect, 130 interrupted, 143 terminated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
psi = typer.Typer(help="Private set intersection between two parties' files.", no_args_is_help=True)
demo = typer.Typer(help="Two parties on this machine, with generated data.", no_args_is_help=True)
app.add_typer(psi, name="psi")
app.add_typer(query, name="query")
app.add_typer(demo, name="demo")
app.add_typer(plan, name="plan")
app.add_typer(bench, name="bench")
psi.command("run", help=psi_run.__doc__)(psi_run)
app.command("train", help=train.__doc__)(train)
app.command("predict", help=predict.__doc__)(predict)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print(f"crypsis {version('crypsis')}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log more; twice: everything.")
    ] = 0,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a defect (or CRYPSIS_DEBUG=1).")
    ] = False,
) -> None:
    configure_logging(verbose, debug=debug)


def configure_logging(verbose: int, *, debug: bool = False) -> None:
    """Warnings to stderr; `verbose` 1 for progress of the job in words, 2 or `debug` for everything."""
    level = logging.DEBUG if debug or verbose > 1 else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    for name, text in ((logging.WARNING, "warning"), (logging.INFO, "info"), (logging.DEBUG, "debug")):
        logging.addLevelName(name, text)


@app.command("backends")
def show_backends(
    json_output: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """What is compiled, what this CPU and its GPUs can run, what is chosen, and why not the rest. Fails where
    CRYPSIS_BACKEND asks for what cannot be had."""
    from crypsis import backends

    rows = backends.report()
    if json_output:
        import json
        from dataclasses import asdict

        print(
            json.dumps({"cpu": backends.cpu_features(), "backends": [asdict(row) for row in rows]}, indent=2)
        )
        backends.check_forced()
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("slug", "variant", "backend", "compiled", "runs here", "chosen", "why not")
    for row in rows:
        marks = ["yes" if mark else "no" for mark in (row.compiled, row.supported)]
        table.add_row(row.slug, row.variant, row.backend, *marks, "yes" if row.chosen else "", row.reason)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)
    console.print("CPU features: " + " ".join(backends.cpu_features()), highlight=False)
    forced = os.environ.get("CRYPSIS_BACKEND")
    if forced:
        console.print(f"CRYPSIS_BACKEND={forced} is set", highlight=False, markup=False)
    backends.check_forced()  # an error that concerns all rows is told once, after them


@app.command("certs")
def make_certs(
    directory: Annotated[Path, typer.Argument(help="Where the files go; created if missing.")],
    party: Annotated[list[str], typer.Option(help="A party's name; repeat for each party.")],
    days: Annotated[float, typer.Option(help="How long the certificates are good for.")] = 30.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Make a development authority and a certificate for each party. Not for production: the keys lie
    together."""
    from crypsis.errors import ConfigError
    from crypsis.mpc.transport.certs import make_development_certificates

    try:
        files = make_development_certificates(directory, party, days=days, overwrite=overwrite)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    for name, tls in files.items():
        print(f"{name}: --tls-ca {tls.ca} --tls-certificate {tls.certificate} --tls-key {tls.key}")


@psi.command("schema")
def show_schema() -> None:
    """Print the JSON schema of the configuration file."""
    import json

    from crypsis.mpc.psi.config import job_schema

    print(json.dumps(job_schema(), indent=2))


@demo.command("psi")
def demo_psi(
    rows: Annotated[int, typer.Option(min=0, max=1 << 31, help="Customers of each party.")] = 100_000,
    protocol: Annotated[str, typer.Option(help="The protocol: vole, ecdh or auto.")] = "vole",
    work_dir: Annotated[
        Path | None, typer.Option(help="Keep data, certificates, outputs and reports here.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each party.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """A bank and a telco intersect generated customers: two processes over mutual TLS on this machine."""
    from crypsis.mpc.cli.demo import run_demo

    run_demo(n_rows=rows, protocol=protocol, work_dir=work_dir, threads=threads, quiet=quiet)


@demo.command("train")
def demo_train(
    rows: Annotated[int, typer.Option(min=200, max=1 << 24, help="Customers of each party.")] = 2000,
    algorithm: Annotated[
        str, typer.Option(help="gradient-boosting, logistic-regression or linear-regression.")
    ] = "gradient-boosting",
    data: Annotated[
        str, typer.Option(help="generated (--rows of them), breast-cancer or german-credit.")
    ] = "generated",
    key_bits: Annotated[int, typer.Option(min=2048, max=4096, help="Length of the keys.")] = 2048,
    work_dir: Annotated[
        Path | None, typer.Option(help="Keep data, certificates, models and reports here.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each party.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """A bank and a telco train a model on common customers: two processes over mutual TLS on this machine."""
    from crypsis.mpc.cli.demo_train import run_demo_train

    run_demo_train(
        n_rows=rows,
        algorithm=algorithm,
        data=data,
        key_bits=key_bits,
        work_dir=work_dir,
        threads=threads,
        quiet=quiet,
    )
