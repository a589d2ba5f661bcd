# SPDX-License-Identifier: Apache-2.0
"""What the parties of one masked sum agree on: who takes part, the fixed point, the threshold, the graph of masks."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crypsis.errors import ConfigError
from crypsis.mpc.learning.horizontal import graph

Values = npt.NDArray[np.float64]
Words = npt.NDArray[Any]
"""uint32 or uint64: a vector over Z_2^ring_bits."""

MAX_CLIENTS = 10_000
MAX_VALUES = 1 << 31
MAX_NAME_BYTES = 63
MIN_PRECISION = 8
"""Bits of the magnitude that are kept at least."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One masked sum; public, the same at the server and at all clients. Immutable.

    clients        names, 3 to 10,000, in one order
    n_values       numbers of each client, without its weight, which is summed along as one more
    session        16 to 64 bytes that no other sum of these clients has
    magnitude      what no |number| exceeds, above 0
    max_weight     a client's weight is an int from 1 to this: its number of examples, for an average
    ring_bits      32 or 64: what is sent for each number
    threshold      how many holders of shares recover a secret; None: two thirds of them and one. More than half of the
                   holders (active: more than two thirds) and 3 at least, not more than they are
    degree         None: every two clients share a mask; else an even number of neighbours of each, from `graph.degree`
    identities     None: semi-honest. A dict of client to its Ed25519 public key, 32 bytes, known to all beforehand:
                   the variant against a server that deviates, with signed keys and the consistency round

    The scale is the largest power of 2 for which the sum of all clients cannot leave the ring, so nothing wraps. The
    sum of the scaled integers is exact; each client's rounding is at most 2^-(scale_bits + 1) a number, and, with 64
    bits, what float64 leaves of the product of number and weight: 2^-53 of it.

    Up to `threshold - 1` clients may pool what they see with the server. As many clients may drop out as leave every
    client `threshold` holders: n - threshold of them, where degree is None. ConfigError for other values.
    """

    clients: tuple[str, ...]
    n_values: int
    session: bytes
    magnitude: float
    max_weight: int = 1
    ring_bits: int = 32
    threshold: int | None = None
    degree: int | None = None
    identities: Mapping[str, bytes] | None = None
    _fields: ClassVar[tuple[str, ...]] = (
        "n_values",
        "magnitude",
        "max_weight",
        "ring_bits",
        "threshold",
        "degree",
    )
    need: int = field(init=False)
    """The threshold in force."""
    scale_bits: int = field(init=False)

    def __post_init__(self) -> None:
        self._set("clients", _names(self.clients))
        _integer("n_values", self.n_values, 1, MAX_VALUES)
        _integer("max_weight", self.max_weight, 1, 1 << 31)
        if self.ring_bits not in (32, 64):
            raise ConfigError(f"ring_bits is {self.ring_bits!r}: give 32 or 64")
        if not isinstance(self.session, bytes) or not 16 <= len(self.session) <= 64:
            raise ConfigError("session is not 16 to 64 bytes: give bytes that no other sum has")
        if not isinstance(self.magnitude, (int, float)) or not 0 < self.magnitude < math.inf:
            raise ConfigError(f"magnitude is {self.magnitude!r}: give the largest |number|, above 0")
        self._set("magnitude", float(self.magnitude))
        n = len(self.clients)
        if self.degree is not None:
            _integer("degree", self.degree, 2, n - 1)
            if self.degree % 2:
                raise ConfigError(f"degree is {self.degree}: the circulant graph has even ones only")
            if self.active:
                raise ConfigError(
                    "degree and identities are both given: the server chooses the graph, so against one that deviates"
                    " all clients share masks; leave degree out"
                )
        self._check_threshold()
        self._check_identities()
        # A sum is at most n (max_weight magnitude 2^scale + 1/2) and must stay below 2^(ring_bits - 1).
        room = Fraction(2 ** (self.ring_bits - 1), n * self.max_weight) - 1
        if room < 1 << MIN_PRECISION:
            raise ConfigError(
                f"ring_bits {self.ring_bits} leaves less than {MIN_PRECISION} bits a number for {n} clients with"
                f" weights up to {self.max_weight}: take ring_bits=64 or a smaller max_weight"
            )
        scale_bits = math.floor(math.log2(room / Fraction(self.magnitude))) + 1
        while Fraction(self.magnitude) * Fraction(2) ** scale_bits > room:
            scale_bits -= 1
        if abs(scale_bits) > 900:
            raise ConfigError(
                f"magnitude {self.magnitude:.4g} is not a size to compute with: scale the numbers"
            )
        self._set("scale_bits", scale_bits)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_threshold(self) -> None:
        holders = self.n_holders
        # No sum is made of fewer clients than holders of one: 3, as of two each would know the other's.
        least = max(3, 2 * holders // 3 + 1 if self.active else holders // 2 + 1)
        need = 2 * holders // 3 + 1 if self.threshold is None else self.threshold
        _integer("threshold", need, 1, MAX_CLIENTS)
        if not least <= need <= holders:
            raise ConfigError(
                f"threshold is {need} of {holders} holders: give {least} to {holders}; with less, a server could ask"
                " one half for one secret of a client and the other half for the other"
            )
        self._set("need", need)

    def _check_identities(self) -> None:
        if self.identities is None:
            return
        if not isinstance(self.identities, Mapping) or set(self.identities) != set(self.clients):
            raise ConfigError("identities are not those of the clients: give one public key for each")
        for name, key in self.identities.items():
            if not isinstance(key, bytes) or len(key) != 32:
                raise ConfigError(f"the identity of {name!r} is not an Ed25519 public key of 32 bytes")
        self._set("identities", dict(self.identities))

    @property
    def active(self) -> bool:
        """Signed keys and the consistency round."""
        return self.identities is not None

    @property
    def n_holders(self) -> int:
        """Of shares of a client's secrets: its neighbours and itself."""
        return len(self.clients) if self.degree is None else self.degree + 1

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype("<u4" if self.ring_bits == 32 else "<u8")

    @property
    def n_words(self) -> int:
        """Ring elements of a client: its numbers, and its weight."""
        return self.n_values + 1

    @property
    def rounding(self) -> float:
        """No client's number times its weight is off by more, but for float64's own 2^-53 of it."""
        return 2.0 ** -(self.scale_bits + 1)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all of it; every message carries it, every key is derived with it."""
        total = hashlib.sha256(b"crypsis masked sum 1\0")
        total.update(json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode())
        return total.digest()

    @cached_property
    def holders(self) -> tuple[tuple[int, ...], ...]:
        """Of each client, by index: its neighbours and itself, ascending."""
        if self.degree is None:
            everyone = tuple(range(len(self.clients)))
            return (everyone,) * len(self.clients)
        return graph.circulant(len(self.clients), self.degree, self.session)

    def index(self, name: str) -> int:
        """The position of a client. ConfigError for one that is not of the plan."""
        if name not in self.clients:
            raise ConfigError(
                f"client {name!r} is not of the plan: give one of its {len(self.clients)} names"
            )
        return self.clients.index(name)

    def encode(self, values: Any, weight: int = 1, *, clip: bool = False) -> Words:
        """The ring elements of a client: round(weight * value * 2^scale_bits), and its weight.

        values: real numbers, n_values of them, finite and up to magnitude; ValueError otherwise. clip: larger ones are
        cut to the magnitude. weight: int, 1 to max_weight.
        """
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"values are {array.dtype}: give real numbers")
        if array.shape != (self.n_values,):
            raise ValueError(f"values have shape {array.shape}: the plan is on ({self.n_values},)")
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= self.max_weight:
            raise ValueError(f"weight is {weight!r}: give an int from 1 to {self.max_weight}")
        numbers = array.astype(np.float64)
        largest = max(float(numbers.max()), -float(numbers.min()))
        if not math.isfinite(largest):
            raise ValueError("values have NaN or infinity: only finite numbers are summed")
        if largest > self.magnitude:
            if not clip:
                raise ValueError(
                    f"values go up to {largest:.4g}: the plan is on up to {self.magnitude:.4g}; scale them down, or"
                    " pass clip=True"
                )
            np.clip(numbers, -self.magnitude, self.magnitude, out=numbers)
        numbers *= weight * 2.0**self.scale_bits
        signed = np.empty(self.n_words, np.int64)
        signed[:-1] = np.rint(numbers, out=numbers)
        signed[-1] = weight
        return signed.astype(self.dtype)  # modulo 2^ring_bits

    def decode(self, total: Words) -> tuple[Values, int]:
        """(sum of weight times values, float64[n_values]; sum of weights) of the sum of `encode`d vectors."""
        signed = total.view(f"<i{self.ring_bits // 8}")
        return signed[:-1] * 2.0**-self.scale_bits, int(signed[-1])

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        identities = self.identities
        return {
            "clients": list(self.clients),
            "session": self.session.hex(),
            "identities": None
            if identities is None
            else {name: identities[name].hex() for name in self.clients},
            **{name: getattr(self, name) for name in self._fields},
        }

    @classmethod
    def from_json(cls, fields: Any) -> Plan:
        """Of `to_json`. ConfigError for anything else."""
        wanted = {"clients", "session", "identities", *cls._fields}
        if not isinstance(fields, dict) or set(fields) != wanted:
            raise ConfigError(
                "a plan has other fields than this version knows: use the same crypsis everywhere"
            )
        try:
            session = bytes.fromhex(fields["session"])
            given = fields["identities"]
            identities = None if given is None else {name: bytes.fromhex(key) for name, key in given.items()}
            rest = {name: fields[name] for name in cls._fields}
            return cls(clients=tuple(fields["clients"]), session=session, identities=identities, **rest)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"a plan cannot be read: {error}") from None


def _integer(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(f"{name} is {value!r}: give an int from {least} to {most}")


def _names(clients: Iterable[str]) -> tuple[str, ...]:
    if isinstance(clients, str) or not isinstance(clients, Iterable):
        raise ConfigError("clients are not a list of names: give the names of all")
    names = tuple(clients)
    for name in names:
        if not isinstance(name, str) or not 0 < len(name.encode()) <= MAX_NAME_BYTES:
            raise ConfigError(
                f"client {str(name)[:70]!r} is not usable: give names of 1 to {MAX_NAME_BYTES} bytes"
            )
    if not 3 <= len(names) <= MAX_CLIENTS:
        raise ConfigError(
            f"clients are {len(names)}: give 3 to {MAX_CLIENTS}; the sum of two tells each the other's numbers"
        )
    if len(set(names)) != len(names):
        raise ConfigError(f"client {max(names, key=names.count)!r} is there twice: give each name once")
    return names
