# SPDX-License-Identifier: Apache-2.0
"""Training on vertically split columns: guest and host in one process on one core, keys of 2048 bits made before."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from crypsis.errors import BackendUnavailable
from crypsis.mpc.bench.counts import Counts, decrypt_short, encrypt_short, fixed_power, product, short_power
from crypsis.mpc.bench.parties import Parties
from crypsis.mpc.bench.suite import Setting, Suite, Work, WrongAnswer
from crypsis.mpc.learning import CipherOptions, Frame, Session

SUITE = Suite("train", "guest and host in one process on one core; no peer can be installed")
BITS = 2048
OPTIONS = CipherOptions(scheme="okamoto-uchiyama", key_bits=BITS)

# Of linear regression, what each party does once a row or a column: encrypt its shares, of 128 bits; blind results
# fully (1,494 bits), masked by plaintexts of 682; decrypt the other's.
SHARE = encrypt_short(BITS, 128)
RESULT = fixed_power(BITS, 1494) + fixed_power(BITS, 682) + 3 * product(BITS) + decrypt_short(BITS)
SLOTS = 3
"""Results of rows to a ciphertext."""
ENTRY_PRODUCTS = 12 / 8
"""Of an entry of the matrix in either product: 12 bits, and a sign that is not counted; up to eight to a look-up."""


def linear_count(n: int, columns: int) -> Counts:
    """Products of both parties in an epoch of one batch: scores of the rows, and gradients of the columns."""
    entries = 2 * n * columns * ENTRY_PRODUCTS * product(BITS)
    return 2 * ((n + columns) * SHARE + entries + (-(-n // SLOTS) + columns) * RESULT)


def boosting_count(columns: int) -> Counts:
    """Products of a row in a tree: its blinding at the guest, which goes to its gradients in two more, and the sums of
    the root at the host, of two columns at a time."""
    return short_power(BITS) + (2 + columns / 2) * product(BITS)


def _data(n: int, columns: int) -> tuple[Any, Any]:
    """float64[n, 2 columns], of which the host has the latter half, and a score that both halves matter to."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal((n, 2 * columns))
    return values, values.sum(axis=1) / np.sqrt(columns) + rng.standard_normal(n)


def _parties(values: Any, labels: Any) -> Parties:
    columns = values.shape[1] // 2
    frames = {
        "guest": Frame.from_numpy(np.ascontiguousarray(values[:, :columns]), labels),
        "host": Frame.from_numpy(np.ascontiguousarray(values[:, columns:])),
    }

    def make(role: Any) -> Any:
        return lambda channel: (role, frames[role], Session(role, channel, cipher=OPTIONS))

    return Parties(make("guest"), make("host"), names=("guest", "host"))


@SUITE.case("train/linear regression, 10 + 10 columns", unit="rows of an epoch")
def linear(setting: Setting) -> Work:
    from crypsis.mpc.learning.linear import LinearRegression

    n, epochs, columns = setting.size(100, 1_000, 4_000), setting.size(2, 3, 5), setting.size(2, 10, 10)
    values, labels = _data(n, columns)
    parties = _parties(values, labels)

    def fit(party: Any) -> Any:
        role, frame, session = party
        return LinearRegression(role=role, max_epochs=epochs, tol=None, batch_size=n).fit(
            frame, session=session
        )

    def check(found: Any) -> None:
        """The weights point where those of least squares do."""
        weights = np.concatenate([model.coef_ for model in found])
        due = np.linalg.lstsq(values - values.mean(axis=0), labels - labels.mean(), rcond=None)[0]
        cosine = weights @ due / (np.linalg.norm(weights) * np.linalg.norm(due))
        if not cosine > 0.9:
            raise WrongAnswer(f"train: weights at a cosine of {cosine:.3f} with those of least squares")

    return Work(
        n * epochs,
        lambda: parties.run(fit),
        check,
        bound=setting.machine.by(
            "bigint", linear_count(n, columns) * (1 / n), "shares, matrices and results of both parties"
        ),
        extra={"threads": 1, "epochs": epochs, "rows": n, "key_bits": 2048, "scheme": OPTIONS.scheme},
        close=parties.close,
    )


@SUITE.case("train/gradient boosting, 10 + 10 columns", unit="rows of a tree")
def boosting(setting: Setting) -> Work:
    if importlib.util.find_spec("numba") is None:
        raise BackendUnavailable(
            "boosting needs numba, which is not installed: pip install 'crypsis[learning]'"
        )
    from crypsis.mpc.learning.boosting import GradientBoostingClassifier
    from crypsis.mpc.learning.evaluation.metrics import auc

    n, trees = setting.size(200, 2_000, 10_000), setting.size(1, 1, 3)
    columns = setting.size(2, 10, 10)
    values, score = _data(n, columns)
    labels = (score > 0).astype(np.float64)
    parties = _parties(values, labels)

    def fit(party: Any) -> Any:
        role, frame, session = party
        model = GradientBoostingClassifier(role, n_estimators=trees, max_depth=3, max_bins=32)
        return model.fit(frame, session=session)

    def check(found: Any) -> None:
        models = dict(zip(("guest", "host"), found, strict=True))

        def score(party: Any) -> Any:
            role, frame, session = party
            return models[role].decision_function(frame, session=session)

        area = auc(labels, parties.run(score)[0])
        if not area > 0.6:
            raise WrongAnswer(f"train: AUC of {area:.3f} on the training rows")

    return Work(
        n * trees,
        lambda: parties.run(fit),
        check,
        bound=setting.machine.by(
            "bigint", boosting_count(columns), "encryptions, and the sums of the root of each tree"
        ),
        extra={"threads": 1, "trees": trees, "depth": 3, "key_bits": 2048, "scheme": OPTIONS.scheme},
        close=parties.close,
    )
