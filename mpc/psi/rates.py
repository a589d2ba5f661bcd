# SPDX-License-Identifier: Apache-2.0
"""What one core, the loopback and the disk of a machine do: the constants of `crypsis.mpc.psi.plan`."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass, fields
from typing import Any, Final

from crypsis.errors import CorruptData, DataError

VERSION: Final = 1
FILE: Final = "rates.json"
_MAX_BYTES: Final = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Nanoseconds on one core, unless another unit is named. The defaults are those of the reference machine:
    a Xeon with AVX-512, VAES and SHA-NI at about 2.2 GHz. Files are Parquet with 18-character ids and three other
    columns."""

    digest: float = 170.0
    """A row: read from Parquet, hashed to its digest."""
    spill: float = 40.0
    """A row: sent to its outer bin, written."""
    load: float = 56.0
    """A row: its bin read back, verified, grouped."""
    vole_receiver: float = 72.0
    """A VOLE in GF(2^128) at the receiver."""
    vole_sender: float = 42.0
    """A VOLE in GF(2^128) at the sender."""
    vole_receiver_64: float = 68.0
    """The same with u in GF(2^64)."""
    vole_sender_64: float = 36.0
    encode: float = 38.0
    """A key of the receiver: its value, its share of a table over GF(2^128)."""
    encode_64: float = 37.0
    """The same over GF(2^64)."""
    decode: float = 9.5
    """A key of either party: decoded from a table of 16-byte elements."""
    decode_64: float = 10.0
    """The same of pairs over GF(2^64)."""
    tag: float = 12.5
    """A key: its tag from what was decoded, AES."""
    blake3: float = 62.0
    """The same with BLAKE3, for malicious security, value and tag together."""
    multiply: float = 1.8
    """A column of a table, or a value, times Delta at the sender."""
    multiply_64: float = 1.6
    """The same over GF(2^64)."""
    sort: float = 22.0
    """A tag, sorted in its bin."""
    match: float = 25.0
    """A tag of the sender compared with those of the receiver."""
    output: float = 380.0
    """An output row of a few columns in the order of the input: gathered and written as Parquet."""
    output_aligned: float = 555.0
    """The same in another order."""
    scan: float = 190.0
    """An input row that is read again for the output."""
    ecdh_own: float = 7_800.0
    """An item of one's own in ECDH: hashed, mapped to the curve, multiplied."""
    ecdh_peer: float = 6_900.0
    """An item of the peer: multiplied."""
    ecdh_match: float = 155.0
    """An item sorted and matched."""
    tls_gb: float = 0.65
    """GB/s that one core sends or receives through mutual TLS."""
    check_gb: float = 0.9
    """GB/s that one core hashes of an input file before the job."""
    disk_write_mb: float = 1_200.0
    """MB/s to the disk."""
    disk_read_mb: float = 1_300.0
    """MB/s from it."""
    glue: float = 1.65
    """CPU time of a whole exchange over the sum of its kernels, which are timed in memory that is warm."""
    start: float = 0.12
    """Seconds before the first bin: base OTs, trees, processes."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
                raise ValueError(f"{field.name} is {value!r}: give a positive number")


@dataclass(frozen=True)
class Calibration:
    """Rates and where they are from: `what` in words, `cpu` and `date` of the measurement; None for built-in ones."""

    rates: Rates
    what: str
    cpu: str | None = None
    date: str | None = None

    def as_json(self) -> dict[str, Any]:
        """JSON values, as `load` reads them."""
        return {
            "version": VERSION,
            "cpu": self.cpu,
            "date": self.date,
            "rates": {name: float(f"{value:.4g}") for name, value in dataclasses.asdict(self.rates).items()},
        }


BUILT_IN: Final = Calibration(Rates(), "built-in constants of the reference machine, not of this one")


def default_path() -> str:
    """Where the calibration of this machine is kept: crypsis/rates.json in the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "crypsis", FILE)


def load(path: str | None = None) -> Calibration:
    """The calibration in `path`; None: that of this machine, or the built-in one where there is none.

    Raises DataError for a file that cannot be read and CorruptData for one that is no calibration.
    """
    where = path if path is not None else default_path()
    try:
        with open(where, encoding="utf-8") as file:
            text = file.read(_MAX_BYTES)
    except FileNotFoundError as error:
        if path is None:
            return BUILT_IN
        raise DataError(f"{path}: no such file; `crypsis bench calibrate --out {path}` makes it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: cannot be read as a calibration: {error}") from error
    again = f"run `crypsis bench calibrate` again or remove {where}"
    try:
        found = json.loads(text)
        version, values = found["version"], dict(found["rates"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptData(f"{where}: is no calibration; {again}") from error
    if version != VERSION:
        raise CorruptData(f"{where}: is of version {version!r}, this release knows {VERSION}; {again}")
    names = {field.name for field in fields(Rates)}
    if set(values) != names:
        odd = sorted(names.symmetric_difference(values))[0]
        raise CorruptData(f"{where}: has no rate {odd!r} or should not have it; {again}")
    try:
        rates = Rates(**values)
    except ValueError as error:
        raise CorruptData(f"{where}: {error}; {again}") from error
    cpu, date = str(found.get("cpu"))[:80], str(found.get("date"))[:40]
    return Calibration(rates, f"measured on this machine ({where})" if path is None else where, cpu, date)
