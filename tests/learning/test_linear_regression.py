# SPDX-License-Identifier: Apache-2.0
"""Training on shares against the same descent in the clear, and what stops and resumes it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.learning.parties import PAILLIER, run, run_two
from tests.reference import learning_linear as reference

from crypsis.errors import ConfigError, CorruptData, DataError, ProtocolAbort
from crypsis.mpc.learning.linear import loss, regression, ring128, sigmoid
from crypsis.mpc.learning.linear.outbox import Outbox
from crypsis.mpc.learning.linear.products import Products
from crypsis.mpc.learning.linear.regression import FEATURE_BITS, train
from crypsis.mpc.learning.linear.schedule import MAX_DROPS, Course, batch_order, batches, course
from crypsis.mpc.learning.linear.state import Options, State


def link(name, z):
    if name == "identity":
        return z
    if name == "linear":
        return 0.5 + z / 4
    return np.array([reference.polynomial(sigmoid.POLYNOMIALS[name].coefficients, v) for v in z])


def data(n=40, seed=3):
    rng = np.random.default_rng(seed)
    matrix = np.rint(np.clip(rng.normal(size=(n, 3)), -4, 4) * (1 << FEATURE_BITS)).astype(np.int16)
    labels = (rng.random(n) < 0.4).astype(np.float64)
    return matrix[:, :2], matrix[:, 2:], labels


def both(guest, host, labels, options, *, resume=((), ()), checkpoint=(None, None), **others):
    return run_two(
        lambda s: train(s, guest, labels, options, resume=resume[0], checkpoint=checkpoint[0]),
        lambda s: train(s, host, None, options, resume=resume[1], checkpoint=checkpoint[1]),
        **others,
    )


def in_the_clear(guest, host, labels, options, run_name, rate):
    matrix = np.concatenate([guest, np.full((len(guest), 1), 1 << FEATURE_BITS), host], axis=1) / (
        1 << FEATURE_BITS
    )
    penalty = np.full(4, options.l2)
    penalty[2] = 0
    weights, velocity = np.zeros(4), np.zeros(4)
    for epoch in range(options.max_epochs):
        order = batch_order(run_name, epoch + 1, len(labels))
        for part in batches(len(labels), options.batch_size):
            rows = order[part]
            residuals = link(options.link, matrix[rows] @ weights) - labels[rows]
            gradient = matrix[rows].T @ residuals / len(rows) + penalty * weights
            velocity = options.momentum * velocity + gradient
            weights = weights - rate / (1 + options.decay * epoch) * (gradient + options.momentum * velocity)
    residuals = link(options.link, matrix @ weights) - labels
    return weights, float(np.square(residuals).mean())


@pytest.mark.parametrize(
    ("kind", "tolerance", "cipher", "products"),
    [
        ("identity", 1e-5, None, "auto"),
        ("identity", 1e-5, None, "bgv"),
        ("linear", 1e-5, PAILLIER, "scheme"),
        ("linear", 1e-5, None, "bgv"),
        ("degree5", 2e-3, None, "auto"),
        ("degree5", 2e-3, None, "bgv"),
        ("degree9", 2e-2, None, "scheme"),
    ],
)
def test_batches_momentum_decay_and_penalty_as_in_the_clear(kind, tolerance, cipher, products):
    guest, host, labels = data()
    options = Options(
        link=kind,
        l2=0.05,
        learning_rate=0.3,
        momentum=0.5,
        decay=0.1,
        batch_size=16,
        max_epochs=2,
        tol=0.0,
        products=products,
    )
    guest, host, labels = guest[:24], host[:24], labels[:24]
    left, right = both(guest, host, labels, options, **({"cipher": cipher} if cipher else {}))
    due, mean_square = in_the_clear(guest, host, labels, options, left.run, 0.3)
    np.testing.assert_allclose(np.concatenate([left.weights, right.weights]), due, atol=tolerance)
    assert left.history[-1]["loss"] == pytest.approx(mean_square, abs=tolerance)
    assert left.history[-1]["loss"] == right.history[-1]["loss"]
    assert left.history[-1]["bytes_sent"] == right.history[-1]["bytes_received"]
    assert left.run == right.run
    assert left.products == right.products == ("bgv" if products == "bgv" else "scheme")


@pytest.mark.parametrize("name", ["degree5", "degree9"])
def test_polynomials_are_the_minimax_ones(name):
    polynomial = sigmoid.POLYNOMIALS[name]
    coefficients, error = reference.minimax_odd(polynomial.degree, polynomial.radius)
    np.testing.assert_allclose(polynomial.coefficients, coefficients, rtol=1e-6)
    assert error <= polynomial.max_error
    assert polynomial.coefficients[-1] > 0  # outside of the interval it goes the right way
    at = np.linspace(-polynomial.radius, polynomial.radius, 999)
    found = [reference.polynomial(polynomial.coefficients, z) - reference.sigmoid(z) for z in at]
    assert np.abs(found).max() <= polynomial.max_error


@pytest.mark.parametrize(("name", "tolerance"), [("degree5", 2e-3), ("degree9", 0.02)])
@pytest.mark.parametrize("n", [1, 7])
def test_a_polynomial_on_shares(name, tolerance, n):
    z = np.linspace(-14, 14, n) if n > 1 else np.array([3.5])
    mask = ring128.uniform(n)
    shares = mask, ring128.subtract(ring128.encode(z, 42), mask)

    def party(number):
        def work(session):
            session.send_key(session.peer)
            session.receive_key(session.peer)
            with Outbox(session) as outbox:
                products = Products(session, outbox)
                return sigmoid.evaluate(products, shares[number], 42, sigmoid.POLYNOMIALS[name], number)

        return work

    total = ring128.add(*run_two(party(0), party(1)))
    due = link(name, z)
    np.testing.assert_allclose(ring128.decode(total, sigmoid.OUTPUT_BITS), due, atol=tolerance * 4)


def test_the_step_that_the_parties_choose_is_below_the_curvature():
    guest, host, labels = data()
    options = Options(link="linear", l2=0.01, batch_size=40, max_epochs=3, tol=None, momentum=0.0)
    left, right = both(guest, host, labels, options)
    bound = 0.0
    for part, ones in ((guest, True), (host, False)):
        matrix = part / (1 << FEATURE_BITS)
        matrix = np.insert(matrix, matrix.shape[1], 1.0, axis=1) if ones else matrix
        bound += np.linalg.eigvalsh(matrix.T @ matrix / len(matrix))[-1]
    due, _ = in_the_clear(guest, host, labels, options, left.run, 1 / (bound / 4 + 0.01))
    np.testing.assert_allclose(np.concatenate([left.weights, right.weights]), due, atol=1e-5)
    assert "loss" not in left.history[-1]


def test_training_stops_when_the_loss_stays():
    guest, host, labels = data()
    options = Options(link="linear", l2=2.0, batch_size=40, max_epochs=30, tol=1e-3, patience=2)
    left, right = both(guest, host, labels, options)
    assert left.n_iter == right.n_iter < 30
    assert left.stopped_early
    losses = [entry["loss"] for entry in left.history]
    assert max(losses[-3:]) - min(losses[-3:]) < 1e-3


@pytest.mark.parametrize(
    ("rows", "size", "due"), [(1050, 1024, [525, 525]), (10, 3, [2, 3, 2, 3]), (5, 9, [5])]
)
def test_batches_have_the_same_size(rows, size, due):
    parts = batches(rows, size)
    assert [part.stop - part.start for part in parts] == due
    np.testing.assert_array_equal(np.concatenate([np.arange(rows)[part] for part in parts]), np.arange(rows))


def test_the_rate_is_halved_where_the_loss_no_longer_falls():
    def after(losses, n_batches=2, tol=0.01):
        return course(tuple(losses), tol=tol, patience=2, n_batches=n_batches)

    falling = [2.0 - 0.1 * i for i in range(9)]
    assert after(falling) == after(falling, tol=None) == Course(0, False)
    jumping = [1.0, 0.5] + [0.6, 0.7] * 20
    assert after(jumping[:3]) == Course(0, False)
    assert after(jumping[:4]) == Course(1, False)
    assert after(jumping[:7]) == Course(2, False)
    assert after(jumping) == Course(MAX_DROPS, True)
    assert after(jumping, n_batches=1) == after(jumping, tol=None) == Course(0, False)
    assert after([1.0, 0.5, 0.505, 0.503]) == Course(0, True)


def test_resuming_goes_on_from_the_newest_state_that_both_have():
    guest, host, labels = data()
    options = Options(link="linear", l2=0.1, batch_size=40, max_epochs=4, tol=None)
    kept = [[], []]

    def keep_until(number, last):
        def keep(state):
            if state.epoch > last:
                raise RuntimeError("the machine is switched off")
            kept[number].append(State.from_body(json.loads(json.dumps(state.to_body()))))

        return keep

    results = run(
        lambda s: train(s, guest, labels, options, checkpoint=keep_until(0, 2)),
        {"host": lambda s: train(s, host, None, options, checkpoint=keep_until(1, 3))},
    )
    assert all(isinstance(error, Exception) for error in results.values())
    assert len(kept[0]) == 2 <= len(kept[1])
    left, _ = both(guest, host, labels, options, resume=kept)
    due, _ = both(guest, host, labels, options)
    np.testing.assert_allclose(left.weights, due.weights, atol=1e-6)
    assert [entry["epoch"] for entry in left.history] == [1, 2, 3, 4]
    assert left.run == kept[0][0].run
    # The state has nothing of what takes the products.
    packed, _ = both(guest, host, labels, Options(**{**options.public(), "products": "bgv"}), resume=kept)
    assert packed.products == "bgv"
    np.testing.assert_allclose(packed.weights, due.weights, atol=1e-6)
    # A finished training is resumed without a batch.
    again, _ = both(guest, host, labels, Options(**{**options.public(), "max_epochs": 2}), resume=kept)
    assert again.n_iter == 2

    nothing = run(
        lambda s: train(s, guest, labels, options, resume=kept[0]),
        {"host": lambda s: train(s, host, None, options)},
    )
    for error in nothing.values():
        assert isinstance(error, ConfigError)
        assert "none of the same training and epoch" in str(error)
    wider = run(
        lambda s: train(s, np.zeros((40, 3), np.int16), labels, options, resume=kept[0]),
        {"host": lambda s: train(s, host, None, options)},
    )
    assert "of 3 columns here, the table has 4" in str(wider["guest"])


@pytest.mark.parametrize(
    "change",
    [{"run": "zz"}, {"epoch": 0}, {"weights": ["1"]}, {"velocity": ["x"] * 4}, {"rate": None}, {"losses": 3}],
)
def test_a_damaged_state_is_refused(change):
    body = State(
        run="ab" * 32,
        epoch=1,
        own_columns=2,
        rate=0.1,
        weights=ring128.uniform(4),
        velocity=ring128.uniform(4),
    ).to_body()
    State.from_body(body)
    with pytest.raises(CorruptData, match="checkpoint"):
        State.from_body(body | change)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("link", "degree7"),
        ("batch_size", 0),
        ("max_epochs", 1.5),
        ("l2", -1.0),
        ("momentum", 1.0),
        ("learning_rate", 0.0),
        ("learning_rate", 1e-9),
        ("learning_rate", "fast"),
        ("tol", float("nan")),
        ("clip", 32.0),
        ("products", "ckks"),
    ],
)
def test_options_out_of_range(name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value!r}"):
        Options(**{name: value})


def test_noise_without_room_is_told_to_both_before_training():
    guest, host, labels = data()
    options = Options(link="linear", batch_size=1, max_epochs=1 << 30, products="bgv")
    results = run(
        lambda s: train(s, guest, labels, options), {"host": lambda s: train(s, host, None, options)}
    )
    for error in results.values():
        assert isinstance(error, ValueError)
        assert "too much for products='bgv'" in str(error)
        assert "lower batch_size, max_epochs or clip, or give products='scheme'" in str(error)


def test_a_matrix_beyond_the_clip():
    guest, host, labels = data()
    guest = guest.copy()
    guest[0, 0] = -3 * (1 << FEATURE_BITS)
    results = run(
        lambda s: train(s, guest, labels, Options(clip=2.0)),
        {"host": lambda s: train(s, host, None, Options(clip=2.0))},
    )
    assert "beyond clip = 2" in str(results["guest"]) or "beyond clip = 2" in str(results["host"])


def test_a_diverging_descent_says_so():
    guest, host, labels = data()
    options = Options(
        link="identity", learning_rate=1000.0, batch_size=40, max_epochs=5, tol=None, momentum=0.9
    )
    results = run(
        lambda s: train(s, guest, labels, options), {"host": lambda s: train(s, host, None, options)}
    )
    assert any(isinstance(error, DataError) and "diverged" in str(error) for error in results.values())


def test_a_party_without_columns():
    guest, _, labels = data()
    options = Options(max_epochs=1)
    results = run(
        lambda s: train(s, guest, labels, options),
        {"host": lambda s: train(s, np.zeros((40, 0), np.int16), None, options)},
    )
    assert "host has no columns" in str(results["guest"])
    assert "host has no columns" in str(results["host"])


@pytest.mark.parametrize("rows", [10**4, 10**6, 10**8])
def test_the_penalty_is_kept_where_there_are_many_rows(rows, monkeypatch):
    guest, host, labels = data()
    monkeypatch.setattr(regression._Training, "run", lambda self, *_: self.penalties)
    found, _ = both(guest, host, labels, Options(l2=1 / rows))
    penalties = ring128.decode(found, regression.PENALTY_BITS)
    assert penalties[2] == 0  # of the intercept
    assert penalties[[0, 1, 3]] == pytest.approx(1 / rows, rel=1e-4)


def test_more_checkpoints_than_a_message_holds():
    guest, host, labels = data()
    options = Options(link="linear", batch_size=40, max_epochs=1, tol=None)
    old = State(
        run="ab" * 32, epoch=1, own_columns=1, rate=0.1, weights=ring128.zeros(4), velocity=ring128.zeros(4)
    )
    kept = [replace(old, epoch=epoch) for epoch in range(1, 2000)]
    results = both(
        guest, host, labels, options, resume=([replace(state, own_columns=3) for state in kept[:1900]], kept)
    )
    assert [result.n_iter for result in results] == [1900, 1900]


@pytest.mark.parametrize(
    "answer",
    [
        {"seed": "ab", "curvature": 1.0},
        {"seed": "\ud800" * 64, "curvature": 1.0},
        {"seed": "ab" * 32, "curvature": -1.0},
        {"seed": "ab" * 32, "curvature": 10**400},
        {"seed": "ab" * 32, "curvature": float("nan")},
    ],
)
def test_a_peer_with_a_wrong_start(answer):
    guest, _, labels = data()

    def host(session):
        session.tell(session.peer, "columns", columns=1)
        session.hear(session.peer, "columns")
        session.send_key(session.peer)
        session.receive_key(session.peer)
        session.tell(session.peer, "resume", states=[])
        session.hear(session.peer, "resume")
        session.tell(session.peer, "start", **answer)
        session.hear(session.peer, "start")

    results = run(lambda s: train(s, guest, labels, Options()), {"host": host})
    assert isinstance(results["guest"], ProtocolAbort)


def test_the_loss_of_large_residuals():
    rng = np.random.default_rng(5)
    values = rng.normal(size=50) * 3
    mask = ring128.uniform(50)
    shares = mask, ring128.subtract(ring128.encode(values, 28), mask)

    def party(number):
        def work(session):
            session.send_key(session.peer)
            session.receive_key(session.peer)
            with Outbox(session) as outbox:
                return loss.mean_square(Products(session, outbox), shares[number], 28, number)

        return work

    found = run_two(party(0), party(1))
    assert found[0] == found[1] == pytest.approx(np.square(values).mean(), rel=1e-5)
