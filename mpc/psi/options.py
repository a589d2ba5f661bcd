# SPDX-License-Identifier: Apache-2.0
"""What a PSI job is: the part both parties must agree on, and the part that is one's own business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from crypsis.errors import ConfigError
from crypsis.mpc.data import KeySpec
from crypsis.mpc.psi.devices import parse_devices

Role = Literal["receiver", "sender"]
Join = Literal["inner", "left", "right", "full", "difference"]
HashName = Literal["sha256", "sm3", "blake3"]
Protocol = Literal["ecdh", "vole"]
Security = Literal["semi-honest", "malicious"]
Setting = Literal["fast", "low-communication"]
NullPolicy = Literal["ignore", "error"]

PROTOCOL_VERSION = 2

# phase, items done, items in all (0 when unknown); called from worker threads.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class PsiOptions:
    """One party's view of a PSI job.

    `role`: the receiver learns the intersection; the sender learns it too if `broadcast`.
    `keys`: own key columns in order; both parties' *types* must agree, names may differ.
    `join`, `left`: what to keep of one's own rows; `left` says which role is the left table.
    `align`: with `broadcast`, both outputs have the same rows in the same order (a key with a rows here and
    b rows there gives a * b rows in both). Without it, or without `broadcast`, own rows appear once each in
    file order and the peer's multiplicities stay hidden.
    `job`: a public name both sides agree on; it separates the key digests of different jobs.
    `security`, `setting`: of protocol vole; ecdh is semi-honest and has one setting.
    `device`: where this party works, the host or a GPU; see `crypsis.mpc.psi.devices`.
    """

    role: Role
    keys: tuple[KeySpec, ...]
    protocol: Protocol = "ecdh"
    security: Security = "semi-honest"
    setting: Setting = "fast"
    broadcast: bool = False
    join: Join = "inner"
    left: Role = "receiver"
    align: bool = True
    hash: HashName = "sha256"
    job: str = ""
    null_policy: NullPolicy = "ignore"
    batch_size: int = 16384
    threads: int | None = None
    device: str = "cpu"
    max_output_rows: int | None = None

    def __post_init__(self) -> None:
        for name, kind in (
            ("role", Role),
            ("protocol", Protocol),
            ("security", Security),
            ("setting", Setting),
            ("join", Join),
            ("left", Role),
            ("hash", HashName),
            ("null_policy", NullPolicy),
        ):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ConfigError(f"{name} is {value!r}: use one of {', '.join(get_args(kind))}")
        if self.protocol == "ecdh" and self.security != "semi-honest":
            raise ConfigError("security is 'malicious': protocol ecdh is semi-honest only; use protocol vole")
        for name in ("broadcast", "align"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is {getattr(self, name)!r}: use True or False")
        parse_devices(self.device)
        self._check_keys()
        _check_whole("batch_size", self.batch_size, 1 << 17)  # 32 bytes an item, 4 MiB a message
        if self.threads is not None:
            _check_whole("threads", self.threads, 4096)
        if self.max_output_rows is not None:
            _check_whole("max_output_rows", self.max_output_rows, 1 << 40)
        if not isinstance(self.job, str):
            raise ConfigError(f"job is {self.job!r}: give a text")
        if len(self.job.encode(errors="replace")) > 256:
            raise ConfigError(f"job is {len(self.job.encode(errors='replace'))} bytes long: at most 256")

    def _check_keys(self) -> None:
        if not isinstance(self.keys, tuple) or not all(isinstance(key, KeySpec) for key in self.keys):
            raise ConfigError(f"keys is {self.keys!r}: give a tuple of KeySpec")
        if not self.keys:
            raise ConfigError("keys is empty: name at least one key column")
        names = [key.name for key in self.keys]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"keys: column {name!r} is named twice; name it once")

    @property
    def aligned(self) -> bool:
        """Both parties write outputs that line up row by row."""
        return self.broadcast and self.align

    @property
    def has_output(self) -> bool:
        """This party learns the intersection."""
        return self.role == "receiver" or self.broadcast

    @property
    def own_side(self) -> Literal["left", "right"]:
        """This party's table in the join."""
        return "left" if self.left == self.role else "right"

    def public(self) -> dict[str, object]:
        """What must be equal on both sides, in the words of the configuration file."""
        vole = {"security": self.security, "setting": self.setting} if self.protocol == "vole" else {}
        return {
            "version": PROTOCOL_VERSION,
            "protocol": self.protocol,
            **vole,
            "broadcast": self.broadcast,
            "join": self.join,
            "left": self.left,
            "align": self.aligned,
            "hash": self.hash,
            "job": self.job,
            "key_types": [key.type for key in self.keys],
        }


def _check_whole(name: str, value: object, maximum: int) -> None:
    if type(value) is not int or not 1 <= value <= maximum:
        raise ConfigError(f"{name} is {value!r}: use a whole number from 1 to {maximum}")
