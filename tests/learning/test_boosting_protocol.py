# SPDX-License-Identifier: Apache-2.0
"""What is refused, and models that are saved and gone on with."""

from __future__ import annotations

import dataclasses
import json
import threading

import numpy as np
import pytest
from tests.learning.parties import OU, run, run_two

from crypsis.errors import ConfigError, CorruptData, DataError, ProtocolAbort
from crypsis.mpc.learning import Frame
from crypsis.mpc.learning.boosting import GradientBoostingClassifier, routing, training
from crypsis.mpc.learning.boosting import guest as guest_side
from crypsis.mpc.learning.boosting.sampling import Sampling
from crypsis.mpc.learning.model_files import ModelPart
from crypsis.mpc.learning.session import NUMBERS, Session

N = 160
PARAMS = {"n_estimators": 3, "max_depth": 2, "max_bins": 8, "seed": 4}


def frames(n=N, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    y = (x[:, 0] + x[:, 2] - x[:, 3] + 0.3 * rng.normal(size=n) > 0).astype(float)
    ids = np.arange(n) + 7
    guest = Frame.from_numpy(x[:, :2], y, names=["a", "b"], ids=ids)
    return guest, Frame.from_numpy(x[:, 2:], names=["c", "d"], ids=ids)


def both(
    guest_frame, host_frame, *, fit=None, guest_fit=None, host_fit=None, recorded=None, params=None, **other
):
    """Trains, and scores the training rows: ((model, scores), (model, None))."""

    def work(role, frame, own):
        def party(session):
            model = GradientBoostingClassifier(role, **{**PARAMS, **(params or {}), **other.get(role, {})})
            model.fit(frame, session=session, **{**(fit or {}), **(own or {})})
            return model, model.decision_function(frame, session=session)

        return party

    return run_two(
        work("guest", guest_frame, guest_fit),
        work("host", host_frame, host_fit),
        cipher=OU,
        recorded=recorded,
    )


def failures(guest_frame, host_frame, **options):
    """The exceptions of both sides."""

    def work(role, frame):
        own = {**PARAMS, **options.get(role, {})}
        return lambda session: GradientBoostingClassifier(role, **own).fit(frame, session=session)

    found = run(work("guest", guest_frame), {"host": work("host", host_frame)}, cipher=OU)
    return found["guest"], found["host"]


def test_other_hyper_parameters_are_named_at_both_sides():
    guest, host = failures(*frames(), guest={"max_depth": 3}, host={"max_depth": 4})
    assert isinstance(guest, ConfigError)
    assert isinstance(host, ConfigError)
    assert "'max_depth': 3 here, 4 at host" in str(guest)
    assert "'max_depth': 4 here, 3 at guest" in str(host)


def test_rows_that_do_not_line_up_and_labels_that_are_no_class():
    guest, host = frames()
    for error in failures(guest, host.take(np.arange(N)[::-1])):
        assert isinstance(error, DataError)
        assert "in another order" in str(error)
    wrong = Frame(guest.names, guest.values, np.where(np.arange(N) == 5, 2.0, guest.labels), guest.ids)
    at_guest, at_host = failures(wrong, host)
    assert isinstance(at_guest, DataError)
    assert "row 5 is 2" in str(at_guest)
    assert isinstance(at_host, ProtocolAbort)
    assert "row 5" not in str(at_host)


def test_a_missing_column_at_prediction_is_named_where_it_is_missing():
    guest, host = frames()

    def work(role, frame, later):
        def party(session):
            model = GradientBoostingClassifier(role, **PARAMS).fit(frame, session=session)
            return model.predict(later, session=session)

        return party

    found = run(work("guest", guest, guest), {"host": work("host", host, host.select(["c"]))}, cipher=OU)
    assert isinstance(found["host"], DataError)
    assert "column 'd' is missing" in str(found["host"])
    assert isinstance(found["guest"], DataError)
    assert "host lacks columns" in str(found["guest"])
    assert "'d'" not in str(found["guest"])


def test_a_host_that_parts_other_rows_than_its_sums_is_found_out():
    guest, host = frames()

    def tamper(stream, raw):
        # Of what a host sends as numbers, all are bits of rows.
        return (
            [bytes(255 - byte if i == 0 else byte for i, byte in enumerate(raw))]
            if stream == NUMBERS
            else [raw]
        )

    def work(role, frame):
        return lambda session: GradientBoostingClassifier(role, **PARAMS).fit(frame, session=session)

    found = run(work("guest", guest), {"host": work("host", host)}, cipher=OU, tamper=tamper)
    assert isinstance(found["guest"], ProtocolAbort)
    assert "do not have the sums" in str(found["guest"])
    assert isinstance(found["host"], ProtocolAbort)


def test_a_saved_model_predicts_and_parts_of_other_jobs_are_refused(tmp_path):
    guest, host = frames()
    (first, scores), (first_host, _) = both(guest, host)
    _, (other_host, _) = both(guest, host)
    first.save(tmp_path / "guest.json")
    first_host.save(tmp_path / "host.json")
    other_host.save(tmp_path / "other.json")

    def predict(path, frame):
        model = GradientBoostingClassifier.load(path)
        return lambda session: model.decision_function(frame, session=session)

    again, nothing = run_two(
        predict(tmp_path / "guest.json", guest), predict(tmp_path / "host.json", host), cipher=OU
    )
    assert np.array_equal(again, scores)
    assert nothing is None
    found = run(
        predict(tmp_path / "guest.json", guest), {"host": predict(tmp_path / "other.json", host)}, cipher=OU
    )
    assert all(isinstance(error, ConfigError) and "'job'" in str(error) for error in found.values())
    part = ModelPart.load(tmp_path / "guest.json")
    for change in ({"counts": [1]}, {"hosts": 3}, {"rounds": [[{"owner": [0]}]]}, {"records": [{}]}):
        damaged = ModelPart(
            kind=part.kind, role=part.role, party=part.party, job=part.job, body={**part.body, **change}
        )
        with pytest.raises(CorruptData, match="damaged"):
            GradientBoostingClassifier.from_part(damaged)


def test_training_goes_on_from_the_last_round_that_both_have():
    guest, host = frames()
    parts = {"guest": [], "host": []}

    def keep(model):
        parts[model.role].append(model.part())

    sampled = {"top_rate": 0.3, "other_rate": 0.3}
    (whole, scores), _ = both(guest, host, fit={"callback": keep}, params=sampled)
    # The guest died after its second round, the host has one only.
    (again, again_scores), _ = both(
        guest,
        host,
        guest_fit={"resume": parts["guest"][1]},
        host_fit={"resume": parts["host"][0]},
        params=sampled,
    )
    assert again.job_ == whole.job_
    assert again.n_rounds_ == 3
    assert np.array_equal(scores, again_scores)
    assert [r["round"] for r in again.history_] == [2, 3]


def test_early_stopping_keeps_the_best_round_at_both():
    guest, host = frames()
    validation = frames(60, 1)
    labels = np.random.default_rng(0).permutation(
        validation[0].labels
    )  # nothing to learn: it soon gets worse
    shuffled = Frame(validation[0].names, validation[0].values, labels, validation[0].ids)
    (model, _), (other, _) = both(
        guest,
        host,
        guest_fit={"validation": shuffled},
        host_fit={"validation": validation[1]},
        params={"n_estimators": 30, "early_stopping_rounds": 2, "metric": "auc", "subsample": 0.7},
    )
    told = [entry["validation_auc"] for entry in model.history_]
    assert model.n_rounds_ == other.n_rounds_ == int(np.argmax(told)) + 1
    assert len(told) == model.n_rounds_ + 2


@pytest.mark.parametrize("stop_after", [1, 4])
def test_early_stopping_stops_where_it_would_have_without_a_break(stop_after):
    guest, host = frames()
    validation = frames(60, 1)
    labels = np.random.default_rng(0).permutation(validation[0].labels)
    shuffled = Frame(validation[0].names, validation[0].values, labels, validation[0].ids)
    options = {"n_estimators": 12, "early_stopping_rounds": 3, "metric": "ks", "subsample": 0.7}
    kept = {"guest": [], "host": []}
    ends = {"guest_fit": {"validation": shuffled}, "host_fit": {"validation": validation[1]}}
    (whole, scores), _ = both(
        guest, host, fit={"callback": lambda m: kept[m.role].append(m.part())}, params=options, **ends
    )
    assert len(kept["guest"]) == whole.n_rounds_ + 3 < 12
    for role in kept:
        ends[f"{role}_fit"]["resume"] = kept[role][stop_after - 1]
    (again, again_scores), _ = both(guest, host, params=options, **ends)
    assert again.n_rounds_ == whole.n_rounds_
    assert np.array_equal(scores, again_scores)
    assert len(again.history_) == whole.n_rounds_ + 3 - stop_after


def test_a_part_of_other_columns_or_of_a_secret_parameter_is_not_gone_on_with():
    guest, host = frames()
    kept = {"guest": [], "host": []}
    both(guest, host, fit={"callback": lambda m: kept[m.role].append(m.part())}, params={"n_estimators": 2})

    def work(role, frame, **own):
        params = {**PARAMS, **own}
        return lambda session: GradientBoostingClassifier(role, **params).fit(
            frame, session=session, resume=kept[role][0]
        )

    found = run(work("guest", guest), {"host": work("host", host.select(["d"]))}, cipher=OU)
    assert isinstance(found["host"], DataError)
    assert "other columns" in str(found["host"])
    assert "'d'" not in str(found["guest"])
    found = run(work("guest", guest, base_score=0.123), {"host": work("host", host)}, cipher=OU)
    assert isinstance(found["guest"], DataError)
    assert "another base_score" in str(found["guest"])
    assert isinstance(found["host"], ProtocolAbort)
    assert "0.123" not in str(found["host"])


class _Deeper(guest_side.GuestGrower):
    def __init__(self, session, bins, table, n_train, options, *rest):
        object.__setattr__(options, "max_depth", 9)
        super().__init__(session, bins, table, n_train, options, *rest)


class _Wider(guest_side.GuestGrower):
    def __init__(self, session, bins, table, n_train, options, *rest):
        object.__setattr__(options, "max_leaves", 0)
        super().__init__(session, bins, table, n_train, options, *rest)


class _Single(guest_side.GuestGrower):
    def _open(self, nodes, growing, values, depth):
        return set(nodes.level) if depth < self._options.max_depth else set()


@pytest.mark.parametrize(
    ("where", "name", "deviation", "params", "text"),
    [
        (training, "GuestGrower", _Deeper, {}, "larger tree"),
        (training, "GuestGrower", _Wider, {"max_leaves": 3, "max_depth": 4}, "larger tree"),
        (training, "GuestGrower", _Single, {"max_depth": 12, "min_child_weight": 0.0}, "single row"),
        (
            Sampling,
            "rows",
            lambda self, g, h, rng: (np.arange(len(g)) < 2, np.ones(len(g))),
            {},
            "part of the rows",
        ),
        (Session, "tell", None, {}, "more rounds"),
        (Session, "tell", "outputs", {}, "number of trees"),
    ],
)
def test_a_host_keeps_to_what_was_agreed(monkeypatch, where, name, deviation, params, text):
    """A guest that wants sums of other nodes, rows or rounds gets none."""
    params = {"subsample": 0.5, **params}
    if name == "tell":
        real = Session.tell

        def deviation_of(session, peer, kind, **fields):
            if deviation is None and kind == "boosting round" and not fields["more"]:
                fields = {"more": True}
            if deviation == "outputs" and kind == "boosting start":
                fields["outputs"] = 2
            real(session, peer, kind, **fields)

        monkeypatch.setattr(where, name, deviation_of)
    else:
        monkeypatch.setattr(where, name, deviation)
    _, host = failures(*frames(), guest=params, host=params)
    assert isinstance(host, ProtocolAbort)
    assert text in str(host)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"numeric": -1}, "numeric"),
        ({"numeric": 1 << 40}, "numeric"),
        ({"numeric": 1.5}, "numeric"),
        ({"blocks": [1]}, "categorical"),
        ({"blocks": "x"}, "categorical"),
        ({"blocks": [65535] * 300}, "sums a node"),
        ({"rounds": True}, "rounds"),
    ],
)
def test_a_guest_takes_no_impossible_offer(fields, text):
    def tamper(stream, raw):
        if stream == 0 and b"boosting offer" in raw:
            return [json.dumps({**json.loads(raw), **fields}).encode()]
        return [raw]

    frames_of = dict(zip(("guest", "host"), frames(), strict=True))

    def work(role):
        return lambda session: GradientBoostingClassifier(role, **PARAMS).fit(
            frames_of[role], session=session
        )

    found = run(work("guest"), {"host": work("host")}, cipher=OU, tamper=tamper)
    assert isinstance(found["guest"], ProtocolAbort)
    assert text in str(found["guest"])
    assert isinstance(found["host"], ProtocolAbort)


def test_validation_rows_of_one_class_are_not_told_of():
    guest, host = frames()
    later = frames(20, 1)
    same = Frame(later[0].names, later[0].values, np.ones(20), later[0].ids)

    def work(role, frame, validation):
        params = {**PARAMS, "early_stopping_rounds": 1, "metric": "auc"}
        return lambda session: GradientBoostingClassifier(role, **params).fit(
            frame, session=session, validation=validation
        )

    found = run(work("guest", guest, same), {"host": work("host", host, later[1])}, cipher=OU)
    assert isinstance(found["guest"], DataError)
    assert "one class" in str(found["guest"])
    assert isinstance(found["host"], ProtocolAbort)
    assert "class" not in str(found["host"])


def test_a_guest_without_features_and_a_host_with_constant_ones():
    guest, host = frames()
    bare = Frame((), np.zeros((N, 0)), guest.labels, guest.ids)
    (model, scores), _ = both(bare, host)
    assert np.abs(scores).max() > 0.3
    assert model.feature_importances_.shape == (0,)
    flat = Frame(host.names, np.ones((N, 2)), None, host.ids)
    with pytest.warns(UserWarning, match="'c', 'd' are constant"):
        (model, _), (other, _) = both(guest, flat)
    assert other.skipped_features_ == ("c", "d")
    assert {row.owner for row in model.importance().rows} == {"guest"}
    assert model.feature_importances_.sum() == pytest.approx(1)


def test_scores_of_many_splits_come_in_small_blocks(monkeypatch):
    guest, host = frames()
    recorded = {}
    (_, scores), _ = both(guest, host)
    monkeypatch.setattr(routing, "BLOCK_BITS", 200)
    (_, again), _ = both(guest, host, recorded=recorded)
    assert np.array_equal(again, scores)
    told = [json.loads(raw) for raw in recorded["guest"][0].sent[0]]
    (rows,) = [message["rows"] for message in told if message["type"] == "boosting scores"]
    assert 1 < rows < 200 // 3


def test_parameters_have_scikit_learns_manners():
    model = GradientBoostingClassifier("guest", max_depth=3)
    assert GradientBoostingClassifier(**model.get_params()).get_params() == model.get_params()
    assert model.set_params(n_classes=3).n_classes == 3
    with pytest.raises(ValueError, match="no parameter 'depth'"):
        model.set_params(depth=1)
    with pytest.raises(ConfigError, match="not trained"):
        model.part()


def test_blinding_made_ahead_changes_no_model():
    guest, host = frames()
    (_, scores), _ = both(guest, host)

    def work(role, frame):
        def party(session):
            session.cipher = dataclasses.replace(session.cipher, ahead=role == "guest")
            model = GradientBoostingClassifier(role, **PARAMS).fit(frame, session=session)
            return model.decision_function(frame, session=session)

        return party

    again, _ = run_two(work("guest", guest), work("host", host), cipher=OU)
    assert np.array_equal(again, scores)
    assert not [thread for thread in threading.enumerate() if "blinding" in thread.name]
