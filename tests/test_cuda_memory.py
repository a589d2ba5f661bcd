# SPDX-License-Identifier: Apache-2.0
"""Memory of a device: batches are split where it is short, and secrets in it are zeros when they are no longer used."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cuda_bigint_cases as cases
from crypsis import bigint, hashing, paillier
from crypsis._homomorphic import devices, secret
from crypsis.bigint import FixedBase, Modulus
from crypsis.cuda import _bigint_products, _blocks
from crypsis.cuda import bigint as on_device
from crypsis.cuda import hashing as hashing_on_device
from crypsis.cuda._bigint_kernels import kernels_of, known_values
from crypsis.cuda._registry import registered
from crypsis.errors import DeviceError, DeviceMemoryError, NotInvertible
from cuda_homomorphic import FACTORS, VALUES, okamoto_uchiyama_768, paillier_256, same_coins, small_tables
from cuda_on_cpu.arrays import ShimArray
from cuda_on_cpu.device import ShimDevice

__all__ = ["small_tables"]  # a fixture of every test here

TOLD = r"bytes asked, [\d,]+ free; use smaller|bytes needed at a time, and [\d,]+ bytes are free; free arrays"


def test_blocks_are_halved_until_they_fit() -> None:
    device = ShimDevice(memory_bytes=10_000)
    seen: list[tuple[int, int]] = []
    done: list[int] = []

    def work(part: slice) -> None:
        seen.append((part.start, part.stop))
        if part.stop - part.start > 7:  # whatever `free_bytes` says: memory is in pieces
            raise DeviceMemoryError("no piece is large enough")
        done.extend(range(part.start, part.stop))

    _blocks.in_blocks(device, 100, 100, work, what="this", least=3)
    assert seen[:5] == [(0, 50), (0, 25), (0, 12), (0, 6), (6, 12)]
    assert done == list(range(100))
    seen.clear()
    with pytest.raises(
        DeviceMemoryError, match=r"memory for this: 800 bytes needed at a time, and 10,000 bytes are"
    ):
        _blocks.in_blocks(device, 100, 100, work, what="this", least=8)
    assert seen == [(0, 50), (0, 25), (0, 12), (0, 8)]
    for n, most, sizes in ((0, None, []), (5, None, [5]), (5, 2, [2, 2, 1])):
        seen.clear()
        _blocks.in_blocks(device, n, 0, work, what="this", most=most)
        assert [stop - start for start, stop in seen] == sizes


class Full(ShimDevice):
    """Gives `n_bytes` more, after `allow(n_bytes)`."""

    def allow(self, n_bytes: int | None) -> None:
        self.limit_bytes = None if n_bytes is None else self._used + n_bytes


class InPieces(ShimDevice):
    """Says that all is free, and gives no more than `n_bytes` at a time, after `allow(n_bytes)`."""

    largest: int | None = None

    def allow(self, n_bytes: int | None) -> None:
        self.largest = n_bytes

    def take(self, n_bytes: int) -> None:
        if self.largest is not None and n_bytes > self.largest:
            raise DeviceMemoryError(
                f"{n_bytes:,} bytes asked, {self.free_bytes():,} free; use smaller batches"
            )
        super().take(n_bytes)


MODULUS = Modulus(2**256 - 189)  # a prime
RNG = np.random.default_rng(4)
ROWS = RNG.integers(0, 2**62, (700, 4), dtype=np.uint64)
STARTS = np.array([0, 3, 3, 260, 650, 699])
BINS = RNG.integers(-1, 5, (700, 3))
SMALL = RNG.integers(-9, 9, (6, 700))
CALLS: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
    "powm": lambda at: bigint.powm(at(ROWS), at(ROWS[:, :1].copy()), MODULUS),
    "multi_powm": lambda at: bigint.multi_powm(
        at(ROWS[:60]), at(ROWS[:180, 0].reshape(3, 60) & np.uint64(255)), MODULUS, exponent_bits=8
    ),
    "multi_powm_vartime": lambda at: bigint.multi_powm_vartime(at(ROWS), at(SMALL), MODULUS),
    "segmented_prod": lambda at: bigint.segmented_prod(at(ROWS), at(STARTS), MODULUS),
    "segmented_prod, montgomery": lambda at: bigint.segmented_prod(
        at(ROWS), at(STARTS), MODULUS, montgomery=True
    ),
    "many segments": lambda at: bigint.segmented_prod(
        at(ROWS), at(np.repeat(np.arange(0, 701, 2), 2)), MODULUS
    ),
    "cumulative_prod": lambda at: bigint.cumulative_prod(at(ROWS), at(np.array([0, 300, 700])), MODULUS),
    "scatter_mul": lambda at: bigint.scatter_mul(at(ROWS), at(BINS), 5, MODULUS),
    "scatter_mul, running": lambda at: bigint.scatter_mul(at(ROWS), at(BINS), 5, MODULUS, cumulative=True),
    "batch_inverse": lambda at: bigint.batch_inverse(at(ROWS), MODULUS),
    "strided messages": lambda at: hashing.sha256(_columns(at(ROWS.view(np.uint8)))),
    "short offsets": lambda at: hashing.sm3(_messages(at)),
}


def _columns(rows: Any) -> Any:
    return rows[:, 3:25]


def _messages(at: Callable[[Any], Any]) -> Any:
    """1000 of 7 bytes: rows on the host, with offsets of 32 bits on a device."""
    values = ROWS.view(np.uint8).ravel()[:7000]
    rows = at(values)
    return values.reshape(-1, 7) if rows is values else (at(np.arange(0, 7001, 7, dtype=np.int32)), rows)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bigint_products, "MIN_BLOCK_ROWS", 16)
    monkeypatch.setattr(on_device, "MIN_BLOCK_ROWS", 16)
    monkeypatch.setattr(hashing_on_device, "MIN_BLOCK_MESSAGES", 16)
    monkeypatch.setattr(_bigint_products, "INVERTED_ON_HOST", 8)


IN_PIECES = (
    "powm",
    "multi_powm",
    "multi_powm_vartime",
    "segmented_prod",
    "scatter_mul",
    "scatter_mul, running",
)
"""What needs larger arrays than its operands and results are."""


def _refused(call: Callable[[], None]) -> DeviceMemoryError | None:
    try:
        call()
    except DeviceMemoryError as error:
        return error
    return None


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("kind", [Full, InPieces])
def test_what_does_not_fit_is_split_with_the_same_result(name: str, kind: type[Full | InPieces]) -> None:
    """From far too little memory up to where it is enough: a clear error, then a result in blocks, the CPU's."""
    call = CALLS[name]
    expected = call(lambda array: array)
    with registered(kind()) as device:
        assert np.array_equal(call(device.from_host).get(), expected)
        whole = len(device.launches)
        size, errors = 64, []
        results: list[ShimArray] = []

        def limited(array: np.ndarray) -> ShimArray:
            device.allow(None)
            there = device.from_host(array)
            device.allow(size)
            return there

        while not results:
            device.launches.clear()
            error = _refused(lambda: results.append(call(limited)))
            if error is not None:
                errors.append(str(error))
                size += max(64, size // 6)
        device.allow(None)
        assert np.array_equal(results[0].get(), expected)
        launches = len(device.launches)
    assert errors
    assert all(re.search(TOLD, text) for text in errors)
    if name in IN_PIECES or (kind is Full and name != "cumulative_prod"):  # which works in place
        assert launches > whole, size


@pytest.mark.usefixtures("small_blocks")
def test_inverses_in_blocks_name_the_row() -> None:
    p = 2**127 - 1
    modulus = Modulus(p * (2**129 - 25))
    rows = ROWS.copy()
    rows[:, 3] = 0
    rows[500] = bigint.from_ints([3 * p], modulus.limbs)[0]
    messages = []
    with registered(InPieces()) as device:
        there = device.from_host(rows)
        out = device.from_host(np.zeros_like(rows))
        for largest in (None, rows.nbytes - 1):
            device.allow(largest)
            with pytest.raises(NotInvertible, match="row 500") as caught:
                bigint.batch_inverse(there, modulus, out=out)
            messages.append(str(caught.value))
            assert not out.get().any()
    assert messages[0] == messages[1]


def test_ciphertexts_are_made_in_blocks_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MIN_DEVICE_ROWS", 4)
    key = paillier_256()
    values = np.arange(100) - 50
    sizes: list[int] = []
    with registered(InPieces()) as device:
        key.public_key.encrypt(values[:1], device="cuda")  # constants and tables

        def blinder(count: int) -> Any:
            sizes.append(count)
            device.allow(30 * 8 * key.modulus.limbs)  # behind the result: rows for 30 at a time
            return key.public_key.blinding_factors(count, device=device)

        made = key.public_key.encrypt_with(blinder, values, device=device)
        device.allow(None)
        assert (key.decrypt(made) == values).all()
        assert sizes[0] == 100
        assert max(sizes[2:]) <= 30
        device.allow(8)
        with pytest.raises(
            DeviceMemoryError, match=r"for decryption: [\d,]+ bytes needed at a time, and [\d,]+ bytes"
        ):
            key.decrypt(made)


# ---- secrets -------------------------------------------------------------------------------------------------------


class Watched(ShimDevice):
    """Remembers all memory that it ever gave, and what was copied here as a secret."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[np.ndarray] = []
        self.secrets = []
        self.fail_at: int | None = None

    def _owned(self, array: np.ndarray) -> ShimArray:
        self.given.append(array)
        return super()._owned(array)

    def _launch(self, *args: Any) -> None:
        if self.fail_at is not None and len(self.launches) >= self.fail_at:
            raise DeviceError("planted")
        super()._launch(*args)

    def holds(self, word: int) -> bool:
        """Whether any memory holds the 8 bytes, aligned to 8."""
        return any(
            (array.reshape(-1).view(np.uint64) == np.uint64(word)).any()
            for array in self.given
            if array.nbytes % 8 == 0 and array.flags.c_contiguous
        )


SECRET = 0x0123_4567_89AB_CDEF


def _rest(key: Any) -> list[np.ndarray]:
    """Memory of the constants that live as long as the key."""
    kept = []
    for holder in (key, key.public_key, *(getattr(key, name, None) for name in ("_p", "_q"))):
        for klass in type(holder).__mro__:
            for name in getattr(klass, "__slots__", ()):
                value = getattr(holder, name, None)
                for item in value if isinstance(value, tuple) else (value,):
                    if isinstance(item, devices.Constant):
                        kept += [copy.memory for copy in item._copies.values()]
    return kept


@pytest.mark.parametrize("scheme", ["paillier", "okamoto"])
def test_no_plaintext_stays_on_the_device(scheme: str) -> None:
    key: Any = paillier_256() if scheme == "paillier" else okamoto_uchiyama_768()
    values = np.array([SECRET, -SECRET, 5])
    host = key.public_key.encrypt(values)
    with registered(Watched()) as device:
        there = host.to("cuda")
        assert (key.decrypt(there) == values).all()
        assert not device.holds(SECRET)
        encrypted = key.public_key.encrypt(values, device="cuda")
        product = there * np.array([SECRET >> 8, 1, 2])
        assert not device.holds(SECRET)
        assert not device.holds(SECRET >> 8)
        assert (key.decrypt(encrypted) == values).all()
        assert product.shape == (3,)


WORK: dict[str, Callable[[Any, Any], Any]] = {
    "encrypt": lambda key, c: key.public_key.encrypt(VALUES[0], device="cuda"),
    "owner": lambda key, c: key.encrypt(VALUES[0], device="cuda"),
    "full": lambda key, c: c.rerandomize(full=True),
    "decrypt": lambda key, c: key.decrypt(c),
    "multiply": lambda key, c: c * FACTORS[0],
    "matrix": lambda key, c: np.abs(FACTORS) @ c,
}


@pytest.mark.parametrize("name", sorted(WORK))
def test_secrets_are_wiped_also_where_the_work_fails(name: str) -> None:
    known = paillier_256()
    host = known.encrypt(VALUES[0])
    failed = 0
    for fail_at in range(12):
        key = paillier.PrivateKey(known.public_key, known._p.p, known._q.p)
        with registered(Watched()) as device:
            there = host.to("cuda")
            device.fail_at = fail_at
            try:
                WORK[name](key, there)
            except DeviceError:
                failed += 1
            moduli = (key.modulus, key._p.modulus, key._q.modulus, key._p._odd, key._q._odd, key._n)
            constants = [*_rest(key), *(k.constants.memory for m in moduli for k in m._on_devices.values())]
            kept = {array.ctypes.data for array in constants}
            used = [array.memory for array in device.secrets]
            assert not [a.shape for a in used if a.ctypes.data not in kept and a.any()], fail_at
            public = {array.ctypes.data for array in _rest_of_public(key.public_key)}
            del key, moduli
            gc.collect()
            assert not [a.shape for a in used if a.ctypes.data not in public and a.any()], fail_at
    assert failed


def _rest_of_public(public: Any) -> list[np.ndarray]:
    kept = [kernels.constants.memory for kernels in public.modulus._on_devices.values()]
    for name in type(public).__slots__:
        value = getattr(public, name)
        if isinstance(value, devices.Constant):
            kept += [copy.memory for copy in value._copies.values()]
    return kept


def test_tables_of_powm_are_wiped_where_the_launch_fails() -> None:
    with registered(Watched()) as device:
        a, e = device.from_host(ROWS), device.from_host(ROWS[:, :1].copy())
        bigint.powm(a, e, MODULUS)
        before = len(device.given)
        device.fail_at = len(device.launches) + 1  # behind the check
        with pytest.raises(DeviceError, match="planted"):
            bigint.powm(a, e, MODULUS)
        tables = [array for array in device.given[before:] if array.nbytes > ROWS.nbytes]
        assert tables
        assert not any(array.any() for array in tables)


def test_the_key_of_hashes_is_wiped_where_the_launch_fails() -> None:
    with registered(Watched()) as device:
        rows = device.from_host(ROWS.view(np.uint8))
        for fail_at in (0, 1):
            before = len(device.given)
            device.launches.clear()
            device.fail_at = fail_at
            with pytest.raises(DeviceError, match="planted"):
                hashing.blake3(rows, key=bytes(range(32)))
            starts = [array for array in device.given[before:] if array.nbytes == 64]
            assert len(starts) == 1
            assert not starts[0].any()


class Late(dict[Any, Any]):
    """What another thread fills between the look and the store."""

    def get(self, key: Any, default: Any = None) -> Any:
        return None

    def __contains__(self, key: object) -> bool:
        return False


def test_constants_made_twice_at_once_are_wiped() -> None:
    with registered(Watched()) as device:
        modulus = Modulus(cases.moduli(256)[2])
        winner = kernels_of(device, modulus)
        modulus._on_devices = Late(modulus._on_devices)
        assert kernels_of(device, modulus) is winner
        assert winner.constants.memory.any()
        assert not device.secrets[-1].memory.any()
        assert device.secrets[-1] is not winner.constants

        fixed = FixedBase(ROWS[0], modulus, 64)
        table = on_device.fixed_base_table(device, fixed, vartime=False)
        fixed._tables = Late(fixed._tables)
        before = len(device.given)
        assert on_device.fixed_base_table(device, fixed, vartime=False) is table
        assert table.table.memory.any()
        assert not any(array.any() for array in device.given[before:] if array.nbytes == table.table.nbytes)

        constant = devices.Constant(secret.random_bits(1, 256)[0])
        first = constant.on(device)
        copies = constant._copies
        constant._copies = Late(copies)
        constant.on(device)
        assert first.memory.any()
        assert not device.secrets[-1].memory.any()


def test_constants_wait_for_the_device_before_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of public moduli too: a kernel on another stream may still read them."""
    with registered(Watched()) as device:
        modulus = Modulus(cases.moduli(256)[3])
        constants = kernels_of(device, modulus).constants
        did: list[bool] = []
        monkeypatch.setattr(device, "synchronize", lambda: did.append(bool(constants.memory.any())))
        del modulus
        gc.collect()
        assert did == [True, False]


# ---- what is known is not checked again ----------------------------------------------------------------------------


def test_ciphertexts_are_not_checked_again(shim_device: ShimDevice) -> None:
    key = paillier_256()
    with same_coins():
        c = key.public_key.encrypt(VALUES, device="cuda:0")
        results = [c + c, c * FACTORS, c.sum(), (c + 1).rerandomize(), np.abs(FACTORS).T @ c]
    key.decrypt(results[0])
    assert not [launch.kernel for launch in shim_device.launches if launch.kernel.startswith("check")]
    with known_values():
        pass  # and behind it
    with pytest.raises(ValueError, match="row 0 is not below the modulus"):
        bigint.mod_sqr(shim_device.from_host(np.full((1, 4), 2**64 - 1, np.uint64)), MODULUS)


def test_plans_do_not_travel(shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums and histograms copy nothing to the host."""
    key = paillier_256()
    c = key.public_key.encrypt(VALUES, device="cuda:0")
    monkeypatch.setattr(shim_device, "to_host", lambda a: pytest.fail("a copy to the host"))
    (
        c.sum(),
        c.sum(0),
        c.cumsum(1),
        c.histogram(np.array([0, 1, 0]), 2),
        c.histogram(np.array([0, 1, 0]), 2, index=[1]),
    )


def test_the_host_draws_while_the_device_works(
    shim_device: ShimDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each block nothing waits for the device between the blinding kernel and the next drawing."""
    monkeypatch.setattr(devices, "MAX_DEVICE_ROWS", 4)
    monkeypatch.setattr(devices, "MIN_DEVICE_ROWS", 2)
    did: list[str] = []

    def noted(name: str, original: Any) -> Any:
        return lambda *args, **kwargs: (did.append(name), original(*args, **kwargs))[1]

    key = paillier_256().public_key
    key.encrypt(VALUES, device="cuda:0")  # tables and constants
    for name in ("to_host", "to_host_secret", "from_host_secret", "synchronize"):
        monkeypatch.setattr(shim_device, name, noted("wait", getattr(shim_device, name)))
    monkeypatch.setattr(paillier, "random_bits", noted("draw", paillier.random_bits))
    monkeypatch.setattr(shim_device, "launch", noted("launch", shim_device.launch))
    key.encrypt(VALUES, device="cuda:0")
    assert did == ["wait", "wait"] + 3 * ["draw", "wait", "launch", "launch", "launch"]


def test_random_bits_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret, "RANDOM_BYTES", 100)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    rows = secret.random_bits(333, 130)
    assert rows.shape == (333, 3)
    assert (rows[:, :2].any(axis=0)).all()
    assert len(np.unique(rows[:, 0])) == 333  # no part is read twice, none left out
    assert rows[:, 2].max() < 4
