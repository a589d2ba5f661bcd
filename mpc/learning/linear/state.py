# SPDX-License-Identifier: Apache-2.0
"""What a training is between two epochs: `State`, one party's, for checkpoints; and the public `Options`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from crypsis.errors import ConfigError, CorruptData
from crypsis.mpc.learning.linear import ring128
from crypsis.mpc.learning.linear.engine import Choice
from crypsis.mpc.learning.linear.ring128 import Ring
from crypsis.mpc.learning.linear.sigmoid import KINDS

MAX_CLIP = 31.0
"""Below 32, which 16 bits with `regression.FEATURE_BITS` of fraction do not hold."""
MAX_L2 = 1e4
RATES = (1e-5, 1e3)
"""Of learning: what factors of 24 bits of fraction tell from 0, and far more than any descent bears."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What both parties must give the same.

    link             "identity" for linear regression, else how the logistic function is taken: see `sigmoid`
    l2               of all weights but the intercept, beside the mean of the rows' losses: l2 / 2 |w|^2
    learning_rate    of the first epoch, divided by 1 + decay * epoch; None: 1 over a bound of the loss's curvature
    momentum         Nesterov's, 0 for none
    batch_size       rows of a step at most; batches of an epoch have the same size but for one row
    tol              stop when the loss has moved by less than this over `patience` epochs; with several batches the
                     rate is halved first where it no longer falls: see `schedule`. None: never, and no loss is opened
    clip             what no standardised value exceeds
    products         what encrypts for products of a matrix and a share: "bgv" with thousands of numbers in a
                     ciphertext, "scheme", the session's, with one in each, or "auto": see `engine`. They give the same
    """

    link: str = "degree5"
    fit_intercept: bool = True
    l2: float = 0.0
    learning_rate: float | None = None
    decay: float = 0.0
    momentum: float = 0.7
    batch_size: int = 4096
    max_epochs: int = 20
    tol: float | None = 1e-4
    patience: int = 3
    clip: float = MAX_CLIP
    products: Choice = "auto"

    def __post_init__(self) -> None:
        def refuse(name: str, remedy: str) -> ConfigError:
            return ConfigError(f"{name} is {getattr(self, name)!r}; give {remedy}")

        if self.link not in ("identity", *KINDS):
            raise refuse("link", f"identity, or as sigmoid one of {', '.join(KINDS)}")
        for name in ("batch_size", "max_epochs", "patience"):
            if type(getattr(self, name)) is not int or not 1 <= getattr(self, name) < 1 << 31:
                raise refuse(name, "a whole number from 1")
        for name, most in (("l2", MAX_L2), ("decay", 1e4), ("momentum", 0.999)):
            if not isinstance(getattr(self, name), int | float) or not 0 <= getattr(self, name) <= most:
                raise refuse(name, f"a number from 0 to {most:g}")
        if not isinstance(self.clip, int | float) or not 1 <= self.clip <= MAX_CLIP:
            raise refuse("clip", f"standard deviations from 1 to {MAX_CLIP:g}")
        if self.products not in get_args(Choice):
            raise refuse("products", f"one of {', '.join(get_args(Choice))}")
        rate, tol = self.learning_rate, self.tol
        if rate is not None and not (isinstance(rate, int | float) and RATES[0] <= rate <= RATES[1]):
            raise refuse("learning_rate", f"a number from {RATES[0]:g} to {RATES[1]:g}, or None")
        if tol is not None and not (isinstance(tol, int | float) and 0 <= tol < float("inf")):
            raise refuse("tol", "a number from 0, or None to train all epochs")

    def public(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class State:
    """One party's state after an epoch, without keys: shares of both parties' weights, which tell nothing alone. Who
    has both parties' files has the weights.

    run: hex that both parties' states of one training share, and from which its batches come. epoch: how many are done.
    """

    run: str
    epoch: int
    own_columns: int
    rate: float
    weights: Ring = field(repr=False)
    velocity: Ring = field(repr=False)
    losses: tuple[float, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()

    def to_body(self) -> dict[str, Any]:
        """As JSON, for a file that only the party itself can read."""
        return {
            "run": self.run,
            "epoch": self.epoch,
            "own_columns": self.own_columns,
            "rate": self.rate,
            "weights": [str(value) for value in ring128.to_ints(self.weights)],
            "velocity": [str(value) for value in ring128.to_ints(self.velocity)],
            "losses": list(self.losses),
            "history": [dict(entry) for entry in self.history],
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> State:
        """Of what `to_body` made. CorruptData where it was not."""
        try:
            shares = [[int(value) for value in body[name]] for name in ("weights", "velocity")]
            own, run, epoch = body["own_columns"], body["run"], body["epoch"]
            right = (
                len(shares[0]) == len(shares[1]) >= own >= 0
                and all(-(1 << 127) <= value < 1 << 127 for side in shares for value in side)
                and isinstance(run, str)
                and len(bytes.fromhex(run)) == 32
                and type(epoch) is int
                and epoch >= 1
            )
            losses = tuple(float(value) for value in body["losses"])
            history = tuple(dict(entry) for entry in body["history"])
            rate = float(body["rate"])
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptData("the checkpoint is none of a linear model, or damaged: remove it") from error
        if not right:
            raise CorruptData("the checkpoint is damaged: remove it")
        weights, velocity = (ring128.from_ints(side) for side in shares)
        return cls(
            run=run,
            epoch=epoch,
            own_columns=own,
            rate=rate,
            weights=weights,
            velocity=velocity,
            losses=losses,
            history=history,
        )
