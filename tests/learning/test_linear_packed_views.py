# SPDX-License-Identifier: Apache-2.0
"""What crosses the line in a training with products under BGV: every message, opened with both secret keys."""

from __future__ import annotations

import numpy as np
import pytest
from tests.learning import linear_cases, packed_cases
from tests.learning.parties import run

from crypsis import bgv
from crypsis.errors import ConfigError
from crypsis.mpc.learning.linear import LogisticRegression, packed, regression
from crypsis.mpc.learning.linear.regression import FEATURE_BITS
from crypsis.mpc.learning.session import CIPHERS, KEYS, NUMBERS
from crypsis.mpc.transport.agreement import CONTROL

ROWS, EPOCHS, OWN = 30, 2, {"guest": 4, "host": 3}  # the guest's columns with the intercept


@pytest.fixture(scope="module")
def packed_run():
    """As `recorded`, with products under BGV and the straight sigmoid; and the keys of both."""
    rng = np.random.default_rng(8)
    guest, host = linear_cases.halves(rng.normal(size=(ROWS, 6)), (rng.random(ROWS) < 0.5).astype(float))
    options = {"max_epochs": EPOCHS, "tol": None, "sigmoid": "linear", "products": "bgv"}
    recorded = {}
    with pytest.MonkeyPatch.context() as patch:
        keys = packed_cases.recording_keys(patch)
        results = run(
            lambda s: LogisticRegression(role="guest", **options).fit(guest, session=s),
            {"host": lambda s: LogisticRegression(role="host", **options).fit(host, session=s)},
            recorded=recorded,
            tamper=lambda stream, raw: [raw],
        )
    for result in results.values():
        assert not isinstance(result, Exception), result
        assert result.products_ == "bgv"
    return {name: channels[0].sent for name, channels in recorded.items()}, keys, results


def packed_messages(sent, keys):
    """What a party sent as ciphertexts, all of which are BGV's here, in order."""
    layouts = [bgv.Layout(packed.PARAMETERS, ROWS, columns) for columns in OWN.values()]
    return [packed_cases.parsed(raw, keys, layouts) for raw in sent[CIPHERS]]


def test_every_message_under_bgv_is_an_encryption_of_a_share_or_hidden(packed_run):
    sent, keys, results = packed_run
    values = {name: [*results[name].coef_, results[name].intercept_] for name in results}
    for name, streams in sent.items():
        assert set(streams) == {CONTROL, KEYS, CIPHERS, NUMBERS}
        assert len(streams[KEYS]) == 2
        assert [len(raw) for raw in streams[NUMBERS]] == [
            16 * OWN[name],
            16 * OWN[{"guest": "host"}.get(name, "guest")],
        ]
        found = packed_messages(streams, keys)
        assert [type(message) for message in found] == EPOCHS * 2 * [bgv.Ciphertexts, bgv.Hidden]
        assert len({message.key_id for message in found[::2]}) == 1
        assert {message.key_id for message in found[::2]} != {message.key_id for message in found[1::2]}
        assert len({message.seed for message in found[::2]}) == len(found[::2])
        bits = packed.noise_bits(ROWS, OWN[name], limit=8 << FEATURE_BITS, n_batches=EPOCHS)
        masked = [packed_cases.check_hidden(keys.named(m.key_id), m, bits) for m in found[1::2]]
        packed_cases.check_uniform(np.concatenate(masked))
        shares = []
        for message in found[::2]:
            plain = [
                v % 2**128 for row in packed_cases.sums(keys.named(message.key_id), message) for v in row
            ]
            # Zeros fill a polynomial up; all others are shares (of residuals, 16 bits were dropped).
            shares += [value for value in plain if value]
        assert len(shares) == EPOCHS * (OWN[{"guest": "host"}.get(name, "guest")] + ROWS)
        assert all(1 << 88 < value < 2**128 - (1 << 88) for value in shares)
        packed_cases.check_uniform(
            np.array([[v >> bit & 1 for bit in range(88)] for v in shares], dtype=float)
        )
        assert all(np.float64(v).tobytes() not in raw for v in values[name] if v for raw in streams[CIPHERS])


def test_noise_is_for_every_batch_and_loss(monkeypatch):
    """Of 30 rows in batches of 8: 4 batches and a loss of 30 rows in each of 3 epochs. Of values as they are clipped,
    to 10 bits of fraction."""
    seen = []

    def choose(*given, **sizes):
        seen.append(sizes | {"columns": sorted(sizes["columns"])})
        raise ConfigError("that was all")

    monkeypatch.setattr(regression, "choose", choose)
    rng = np.random.default_rng(8)
    values = rng.normal(size=(ROWS, 6))
    values[0] = 100.0
    guest, host = linear_cases.halves(values, (rng.random(ROWS) < 0.5).astype(float))
    options = {
        "max_epochs": 3,
        "clip": 2.7,
        "tol": 0.0,
        "batch_size": 8,
        "sigmoid": "linear",
        "products": "bgv",
    }
    results = run(
        lambda s: LogisticRegression(role="guest", **options).fit(guest, session=s),
        {"host": lambda s: LogisticRegression(role="host", **options).fit(host, session=s)},
    )
    assert all("that was all" in str(result) for result in results.values()), results
    assert seen == 2 * [{"rows": ROWS, "columns": [3, 4], "limit": 2765, "n_batches": 3 * 5}]
