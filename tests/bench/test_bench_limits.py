# SPDX-License-Identifier: Apache-2.0
"""Limits: their rates are of units that a backend has, and the counts are what the code does. No timing is asserted."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import homomorphic_keys
from crypsis import backends, bigint, ckks, ntt
from crypsis.errors import BackendUnavailable
from crypsis.mpc.bench import counts
from crypsis.mpc.bench.counts import Counts
from crypsis.mpc.bench.limits import UNITS, Machine, least
from crypsis.mpc.bench.rows import Limit
from crypsis.mpc.bench.suite import Setting, Work
from crypsis.mpc.bench.suites import ckks as ckks_suite
from crypsis.mpc.bench.suites import train as train_suite

ITEMS = 3
VALUES = np.array([1, -(2**20), 2**20 - 1])


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(brief=True)


def test_rates_are_positive_known_and_never_fall(machine: Machine) -> None:
    assert machine.known() == {}
    taken = [
        lambda: machine.aes,
        lambda: machine.copy(1 << 10),
        lambda: machine.sum(1 << 10),
        lambda: machine.reads(10),
    ]
    first = [rate() for rate in taken]
    assert all(rate > 0 for rate in first)
    assert all(rate() >= before for rate, before in zip(taken, first, strict=True))
    assert list(machine.known()) == [
        "AES blocks",
        "bytes copied of 1024",
        "bytes summed of 1024",
        "reads among 2^10 blocks",
    ]


@pytest.mark.parametrize("slug", UNITS)
def test_every_backend_has_a_unit_that_counts_what_it_does(slug: str, machine: Machine) -> None:
    variants = {row.variant for row in backends.report() if row.slug == slug}
    for backend in {one for variant in variants for one in backends.runnable(slug, variant)}:
        unit = UNITS[slug][backend]
        assert unit.run(7) == 7 * unit.run(1) > 0
        assert machine.unit(unit) > 0


@pytest.mark.parametrize(
    ("slug", "variant", "count"),
    [
        ("hashing", "sha256", counts.SHA256),
        ("hashing", "blake3", counts.BLAKE3),
        ("curve25519", "", counts.LADDER),
        ("bigint", "", counts.product(2048)),
        ("ntt", "", counts.butterfly(50)),
    ],
)
def test_every_backend_of_a_case_is_counted(
    slug: str, variant: str, count: Counts, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {row.backend for row in backends.report() if (row.slug, row.variant) == (slug, variant)}
    assert set(count) == known - {"cuda"}
    assert set(count) <= set(UNITS[slug])
    for backend in backends.runnable(slug, variant):
        monkeypatch.setenv("CRYPSIS_BACKEND", f"{slug}:{backend}")
        forced = Machine(brief=True)
        limit = forced.by(slug, count, "what it does", variant=variant)
        unit = UNITS[slug][backend]
        assert isinstance(limit, Limit)
        assert limit.per_second == pytest.approx(forced.known()[unit.each] / count[backend])
        assert limit.what.startswith(f"{unit.name}: what it does, ")


def test_a_backend_that_is_not_counted_is_the_reason_for_no_limit(machine: Machine) -> None:
    why = machine.by("ntt", Counts(), "nothing")
    assert why == f"the operations of ntt's backend {machine.backend('ntt')} are not counted"
    work = Work(1, lambda: 1, lambda found: None, bound=why, extra={"threads": 1})
    assert work.limit is None
    assert work.extra == {"threads": 1, "no limit": why}


def test_a_backend_that_cannot_be_had_is_an_error_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYPSIS_BACKEND", "hashing:sha_ni")  # no BLAKE3
    with pytest.raises(BackendUnavailable, match="unset it"):
        Machine(brief=True).backend("hashing", "blake3")


def test_of_several_units_the_slowest_is_the_limit() -> None:
    slow, fast = Limit(1.0, "slow"), Limit(2.0, "fast")
    assert least(fast, slow) is slow
    assert least("none", fast) is fast
    assert least("none", "none either") == "none"


def test_bytes_count_only_as_far_as_reading_and_writing_both_need_them(machine: Machine) -> None:
    def counted(read: float, written: float) -> float:
        limit = machine.by_sum(read, written, "x", in_all=1 << 10)
        return machine.known()["bytes summed of 1024"] / limit.per_second

    assert counted(2, 1) == pytest.approx(3)
    assert counted(3, 2) == pytest.approx(4.5)  # as many reads as a sum of 1.5 has
    assert counted(8, 1) == pytest.approx(3)
    copied = machine.by_copy(32, "x", in_all=1 << 10)
    assert copied.per_second == pytest.approx(machine.known()["bytes copied of 1024"] / 32)


# Counts


def multiplications(digits: int, *, same: bool) -> int:
    """Low and high halves of the products of digits of two numbers, or of one with itself, and of the reduction: for
    each digit a factor, of which the low half is enough, and its product with the modulus."""
    pairs = [(i, j) for i in range(digits) for j in range(digits) if i <= j or not same]
    return 2 * len(pairs) + digits * (1 + 2 * digits)


@pytest.mark.parametrize(("n_bits", "digits"), [(1024, 20), (2048, 40), (3072, 60), (4096, 79), (8192, 158)])
def test_products_of_digits(n_bits: int, digits: int) -> None:
    """The table of csrc/bigint/NOTES.md."""
    assert counts.product(n_bits)["avx512"] == multiplications(digits, same=False)
    assert counts.squaring(n_bits)["avx512"] == multiplications(digits, same=True)
    words = n_bits // 64
    assert counts.product(n_bits)["portable"] == words * words + words * (1 + words)


@pytest.mark.parametrize("exponent_bits", [1, 2, 20, 224, 1024])
def test_a_power_counts_no_more_than_square_and_multiply_nor_less_than_its_squarings(
    exponent_bits: int,
) -> None:
    plain = (exponent_bits - 1) * (counts.squaring(2048) + counts.product(2048))
    found = counts.power(2048, exponent_bits)
    least_squarings = (exponent_bits - 8) * counts.squaring(2048)
    assert all(least_squarings[backend] <= found[backend] <= plain[backend] for backend in found)


def test_a_transform_has_its_butterflies() -> None:
    n_butterflies = sum(1 for stage in range(13) for _ in range(1 << 12))
    assert counts.forward(13, 40) == n_butterflies * counts.butterfly(40)
    assert counts.inverse(13, 40) == n_butterflies * 12 / 13 * counts.butterfly(40) + 8192 * counts.KNOWN


class Recorder:
    """Counts what calls of a scheme's arithmetic take while it is installed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, zero: Counts) -> None:
        self._counts, self._zero, self._patch = [zero], zero, monkeypatch

    def taken(self) -> Counts:
        """Since it was last asked."""
        total = functools.reduce(Counts.__add__, self._counts)
        self._counts[:] = [self._zero]
        return total

    def on(self, owner: Any, name: str, count: Callable[..., Counts]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def counted(*arguments: Any, **options: Any) -> Any:
            self._counts.append(count(*arguments, **options))
            return original(*arguments, **options)

        self._patch.setattr(owner, name, counted)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Products of `bigint`."""
    recorder = Recorder(monkeypatch, 0 * counts.product(2048))
    bits = lambda modulus: 64 * modulus.limbs  # noqa: E731 - of whole words, as they are computed
    recorder.on(bigint, "mod_mul", lambda a, b, modulus, **_: len(a) * counts.product(bits(modulus)))
    recorder.on(
        bigint,
        "powm",
        lambda rows, powers, modulus, exponent_bits=0, **_: (
            len(rows) * counts.power(bits(modulus), exponent_bits)
        ),
    )
    recorder.on(
        bigint.Modulus, "from_montgomery", lambda self, rows, **_: len(rows) * counts.product(bits(self))
    )
    for name, window in (("powm", counts.SCANNED_WINDOW), ("powm_vartime", counts.DIRECT_WINDOW)):
        recorder.on(
            bigint.FixedBase,
            name,
            lambda self, powers, window=window, **_: (
                len(powers) * counts.fixed_power(bits(self.modulus), self.exponent_bits, window)
            ),
        )
    return recorder


def near(found: Counts, wanted: Counts) -> None:
    assert found == pytest.approx(wanted)


def test_paillier_does_what_is_counted(recorded: Recorder) -> None:
    key = homomorphic_keys.paillier_2048()
    for source, name, wanted in (
        (key.public_key, "encrypt", counts.encrypt_public(2048)),
        (key.public_key, "encrypt_vartime", counts.encrypt_public(2048, counts.DIRECT_WINDOW)),
        (key, "encrypt", counts.encrypt_owner(2048)),
    ):
        c = getattr(source, name)(VALUES)
        near(recorded.taken(), ITEMS * wanted)
    assert (key.decrypt(c) == VALUES).all()
    near(recorded.taken(), ITEMS * counts.decrypt_paillier(2048))
    assert (c + c).size == ITEMS
    near(recorded.taken(), ITEMS * counts.product(4096))
    assert (c * np.array([1, 2, 2**20 - 1])).size == ITEMS
    near(recorded.taken(), ITEMS * counts.power(4096, 20))


def test_okamoto_uchiyama_does_what_is_counted(recorded: Recorder) -> None:
    key = homomorphic_keys.okamoto_uchiyama_2048()
    c = key.encrypt(VALUES)
    near(recorded.taken(), ITEMS * counts.encrypt_short(2048, 24))
    assert (key.decrypt(c) == VALUES).all()
    near(recorded.taken(), ITEMS * counts.decrypt_short(2048))


def test_linear_training_does_what_is_counted_and_little_else(recorded: Recorder, machine: Machine) -> None:
    recorded.on(  # by the bits of its look-ups, eight at a time: so many there are at least
        bigint,
        "multi_powm",
        lambda rows, powers, modulus, exponent_bits=64, **_: (
            powers.size * exponent_bits / 8 * counts.product(64 * modulus.limbs)
        ),
    )
    taken, work = _trained(train_suite.linear, recorded, machine)
    epochs = work.extra["epochs"]
    counted = epochs * train_suite.linear_count(work.items // epochs, 2)
    assert all(counted[backend] <= taken[backend] <= 1.1 * counted[backend] for backend in taken)


def test_boosting_does_what_is_counted(recorded: Recorder, machine: Machine) -> None:
    pytest.importorskip("numba", reason="boosting needs numba")
    taken, work = _trained(train_suite.boosting, recorded, machine)
    counted = work.items * train_suite.boosting_count(0)  # encryptions: sums are made elsewhere
    assert all(counted[backend] <= taken[backend] for backend in taken)


def _trained(make: Callable[[Setting], Work], recorded: Recorder, machine: Machine) -> tuple[Counts, Work]:
    work = make(Setting("tiny", machine))
    work.run()  # sets up
    recorded.taken()
    work.run()
    taken = recorded.taken()
    work.close()
    return taken, work


def test_ckks_does_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = ckks_suite.Scene()
    recorder = Recorder(monkeypatch, 0 * counts.UNKNOWN)

    def polynomials(rows: Any, basis: ntt.Basis, of_prime: Callable[[int], Counts]) -> Counts:
        each = [of_prime(prime.bit_length()) for prime in basis.primes]
        return rows.size / (len(each) << basis.log_n) * functools.reduce(Counts.__add__, each)

    for name in ("forward", "inverse"):
        recorder.on(
            ntt,
            name,
            lambda rows, basis, name=name, **_: polynomials(
                rows, basis, lambda bits: getattr(counts, name)(basis.log_n, bits)
            ),
        )
    recorder.on(ntt, "multiply_add", lambda a, b, c, basis, **_: a.size * counts.UNKNOWN)
    scene.public.encrypt(scene.x)
    near(recorder.taken(), ckks_suite.ENCRYPT)
    assert np.abs(scene.secret.decrypt(scene.cx) - scene.x).max() < 1e-4
    near(recorder.taken(), ckks_suite.decrypt_count(scene.cx)[1])
    assert ckks.AGGREGATE.moduli_bits == (48,)  # one limb, as the federated sum is counted
