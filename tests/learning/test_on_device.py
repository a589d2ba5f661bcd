# SPDX-License-Identifier: Apache-2.0
"""Trainings whose ciphertexts are on a device, `CipherOptions(device="cuda:0")`, give what they give on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.cuda_homomorphic import okamoto_uchiyama_768, paillier_256, small_tables
from tests.cuda_on_cpu.device import ShimDevice
from tests.learning import linear_cases
from tests.learning.parties import run_two

from crypsis.cuda._registry import registered
from crypsis.mpc.learning import CipherOptions, Frame
from crypsis.mpc.learning.boosting import GradientBoostingClassifier
from crypsis.mpc.learning.linear import LogisticRegression
from crypsis.mpc.learning.preprocess import WoeEncoder

__all__ = ["small_tables"]  # a fixture of every test here


@pytest.fixture
def shim() -> Iterator[ShimDevice]:
    with registered(ShimDevice()) as device:
        yield device


def on(device: str, key: Any, scheme: Any, guest: Any, host: Any) -> tuple[Any, Any]:
    """Both parties' results with ciphertexts on `device`, under a small key that both have."""
    bits = key.public_key.n_bits
    cipher = CipherOptions(scheme=scheme, key_bits=bits, device=device, insecure_allow_small_key=True)

    def with_key(work: Any) -> Any:
        def party(session: Any) -> Any:
            session.use_key(key)
            return work(session)

        return party

    return run_two(with_key(guest), with_key(host), cipher=cipher)


def data(n: int) -> tuple[Frame, Frame]:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(n, 4))
    labels = (values[:, 0] + values[:, 1] + rng.normal(size=n) > 0).astype(np.float64)
    return linear_cases.halves(values, labels)


def check(shim: ShimDevice, result: Any) -> tuple[Any, Any]:
    """The results on the device and on the host; only the first one launches kernels."""
    there, launched = result("cuda:0"), len(shim.launches)
    here = result("cpu")
    assert launched
    assert len(shim.launches) == launched
    return there, here


def test_logistic_regression(shim: ShimDevice) -> None:
    frames = data(8)
    options = {"sigmoid": "linear", "max_epochs": 1, "tol": None}

    def result(device: str) -> Any:
        models = on(
            device,
            okamoto_uchiyama_768(),
            "okamoto-uchiyama",
            lambda s: LogisticRegression(role="guest", **options).fit(frames[0], session=s),
            lambda s: LogisticRegression(role="host", **options).fit(frames[1], session=s),
        )
        return np.concatenate([models[0].coef_, [models[0].intercept_], models[1].coef_])

    there, here = check(shim, result)
    np.testing.assert_allclose(there, here, atol=1e-7)  # shares are truncated at random


def test_gradient_boosting(shim: ShimDevice) -> None:
    frames = data(20)
    options = {"n_estimators": 1, "max_depth": 1, "max_bins": 4, "seed": 1}

    def work(role: Any, frame: Frame) -> Any:
        def party(session: Any) -> Any:
            model = GradientBoostingClassifier(role, **options).fit(frame, session=session)
            return model.decision_function(frame, session=session)

        return party

    def result(device: str) -> Any:
        parties = work("guest", frames[0]), work("host", frames[1])
        return on(device, okamoto_uchiyama_768(), "okamoto-uchiyama", *parties)[0]

    there, here = check(shim, result)
    np.testing.assert_array_equal(there, here)
    assert len(np.unique(there)) > 1


def test_weights_of_evidence(shim: ShimDevice) -> None:
    frames = data(40)
    options = {"n_fine": 4, "threshold": 0.0, "min_share": 0.0, "min_events": 0}

    def result(device: str) -> Any:
        return on(
            device,
            paillier_256(),
            "paillier",
            lambda s: WoeEncoder(**options).fit(frames[0], session=s),
            lambda s: WoeEncoder(**options).fit(frames[1], session=s),
        )

    there, here = check(shim, result)
    for made, due in zip(there, here, strict=True):
        assert made.iv_ == due.iv_
        assert {name: list(woe) for name, woe in made.woe_.items()} == {
            name: list(woe) for name, woe in due.woe_.items()
        }
