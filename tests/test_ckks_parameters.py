# SPDX-License-Identifier: Apache-2.0
"""Parameter sets: what is accepted, what is refused and why, and the presets."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from ckks_cases import TINY, TWO_DIGITS, WIDE, numbers, parameters
from crypsis import ckks
from crypsis._ckks.parameters import MAX_LOG_QP, SIGMA
from crypsis.errors import LevelError

PRESETS = {
    "AGGREGATE": ckks.AGGREGATE,
    "SHARED": ckks.SHARED,
    "JOINT": ckks.JOINT,
    "SHALLOW": ckks.SHALLOW,
    "DEEP": ckks.DEEP,
}


@pytest.mark.parametrize("log_n", MAX_LOG_QP)
def test_the_security_table_is_enforced(log_n: int) -> None:
    most = MAX_LOG_QP[log_n]
    # As many bits as the table has, then one more.
    count = -(-most // 59)
    parts = [most // count + (i < most % count) for i in range(count)]
    assert sum(parts) == most
    literal = ckks.Literal(log_n, tuple(parts), (), 20)
    over = ckks.Literal(log_n, (*parts[:-1], parts[-1] + 1), (), 20)
    with pytest.raises(ValueError, match=rf"{most + 1} bits together.*at most {most} are 128-bit secure"):
        ckks.Parameters(over)
    if len(parts) == 1:
        found = ckks.Parameters(literal)
        assert found.log_qp <= most
        assert not found.insecure


def test_the_security_table_is_the_published_one() -> None:
    """Ternary, classical, 128 bits: [ACC+18, Table 1] to 2^15, [BCC+24] for 2^16."""
    assert MAX_LOG_QP == {10: 27, 11: 54, 12: 109, 13: 218, 14: 438, 15: 881, 16: 1747}


def test_noise_is_not_below_the_table() -> None:
    assert SIGMA >= 3.2


def test_weak_parameters_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="take log_n = 13"):
        ckks.Parameters(ckks.Literal(12, (60, 40, 40), (60,), 40))
    with pytest.raises(ValueError, match="no modulus is secure"):
        ckks.Parameters(ckks.Literal(9, (22,), (), 15))
    with pytest.raises(ValueError, match="fewer or smaller primes"):
        ckks.Parameters(ckks.Literal(16, (60,) * 31, (), 40))
    assert ckks.Parameters(TINY, insecure_allow_weak=True).insecure
    assert "insecure" in repr(parameters(TINY))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((13, (60, 40, 30), (60,), 40), r"moduli_bits\[2\] is 30, log_scale is 40"),
        ((13, (40,), (), 40), "take a larger first modulus"),
        ((13, (50, 40), (), 40), "special_bits is empty"),
        ((13, (50, 40), (49,), 40), "the largest of 2 digits has 50"),
        ((13, (50, 40, 40), (50,), 40, 2), "the largest of 2 digits has 90"),
        ((13, (50,), (), 40, 1), "dnum is 1 and special_bits is empty"),
        ((17, (50,), (), 40), "log_n"),
        ((13, (61,), (), 40), r"moduli_bits\[0\] is 61"),
        ((13, (50,), (20,), 40), r"special_bits\[0\] is 20"),
        ((13, (), (), 40), "0 entries"),
        ((13, (50, 40), (50,), 40, 3), "dnum is 3"),
        ((13, (50,), (), 101), "log_scale is 101"),
    ],
)
def test_impossible_parameters(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ckks.Parameters(ckks.Literal(*arguments))  # type: ignore[arg-type]


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match="moduli_bits is int"):
        ckks.Literal(13, 50, (), 40)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="log_n is float"):
        ckks.Literal(13.0, (50,), (), 40)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Literal"):
        ckks.Parameters((13, (50,), (), 40))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Literal"):
        ckks.SecretKey.generate(13)  # type: ignore[arg-type]


def test_parameters_do_not_change() -> None:
    own = parameters(TINY)
    with pytest.raises(AttributeError, match="immutable"):
        own.n = 5  # type: ignore[misc]
    assert own == ckks.Parameters(TINY, insecure_allow_weak=True)
    assert hash(own) == hash(parameters(TINY))
    assert own != parameters(TWO_DIGITS)
    assert pickle.loads(pickle.dumps(own)) == own
    assert ckks.Parameters.of(own) is own


@pytest.mark.parametrize("literal", [TINY, TWO_DIGITS, WIDE, *PRESETS.values()])
def test_scales_are_consistent(literal: ckks.Literal) -> None:
    """A product rescaled has the scale of its level; scales stay near 2^log_scale however deep."""
    own = parameters(literal)
    assert own.scales[own.bottom] == 2.0**literal.log_scale
    for level in range(own.bottom + 1, own.top + 1):
        q = own.moduli.primes[level]
        assert own.scales[level] ** 2 / q == pytest.approx(own.scales[level - 1], rel=1e-14)
        assert math.log2(own.scales[level]) == pytest.approx(literal.log_scale, abs=1.1)
    assert own.depth == own.top - own.bottom
    assert len(set(own.full.primes)) == len(own.full.primes)
    assert [p.bit_length() for p in own.full.primes] == [*literal.moduli_bits, *literal.special_bits]


def test_levels() -> None:
    own = parameters(WIDE)
    assert (own.bottom, own.top, own.depth) == (1, 1, 0)
    with pytest.raises(LevelError, match="levels 1 to 1"):
        own.check_level(0)
    assert parameters(TINY).check_level(None) == 3


def test_presets() -> None:
    depths = {"AGGREGATE": 0, "SHARED": 0, "JOINT": 0, "SHALLOW": 3, "DEEP": 12}
    for name, literal in PRESETS.items():
        own = ckks.Parameters(literal)
        assert not own.insecure
        assert own.depth == depths[name]
        assert own.log_qp <= MAX_LOG_QP[own.log_n]


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("AGGREGATE", -19),
        ("SHARED", -67),
        ("JOINT", -80),
        ("SHALLOW", -20),
        pytest.param("DEEP", -24, marks=pytest.mark.slow),
    ],
)
def test_precision_of_presets(name: str, most: float) -> None:
    """What docs/ckks.md says of fresh encryptions, and of the deepest chain of products."""
    secret = ckks.SecretKey.generate(PRESETS[name])
    public = secret.public_key()
    x = numbers(secret.parameters.n_slots)
    array = public.encrypt(x, magnitude=1)
    assert secret.precision(array, x).most < max(most, -48)
    assert array.estimate is not None
    assert math.log2(array.estimate.bound) < most
    values = x
    while array.depth:
        array, values = array * array, values * values
    assert secret.precision(array, values).most < max(-48, math.log2(array.estimate.bound))
    total = secret.encrypt(x, packed=True)
    assert np.abs(secret.decrypt(total + total) - 2 * x).max() < 2.0**-20
