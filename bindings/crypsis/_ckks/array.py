# SPDX-License-Identifier: Apache-2.0
"""`CkksArray`: many ciphertexts in one buffer, and the operators on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from crypsis._arguments import kind
from crypsis._ckks import coins, levels, linear, polynomials, products, rotations, serial, sums, windows
from crypsis._ckks.noise import Estimate
from crypsis._ckks.parameters import Parameters
from crypsis._ckks.places import contiguous, gather, namespace
from crypsis._homomorphic import devices
from crypsis._homomorphic.secret import Frozen
from crypsis.cuda._device import Device

if TYPE_CHECKING:
    from crypsis._ckks.keys import PublicKey

Residues = npt.NDArray[np.uint64]


class CkksArray(Frozen):
    """Encrypted numbers: an array of ciphertexts, each with `length` slots in use. Immutable.

    shape: of the array of ciphertexts; () is a single one. `a + b`, `a - b`, `a * b`, `-a`, `a / 4.0` and `a ** 3`
    with other arrays of the same key, plaintexts, numbers and arrays of numbers whose last axis is the slots (or 1);
    leading axes broadcast as NumPy's do. An operand of a higher level is brought down to the other's. Every result
    has the scale of its level; `multiply(..., relinearise=False, rescale=False)` and the like leave that to the
    caller. Products take a level, those with integers none. Slots past `length` hold zeros, and keep holding zeros in
    sums and products; rotations bring values there.

    level: moduli less 1, of which `depth` products are left. scale: what the encrypted integers are divided by.
    estimate: of the error (`Estimate`); None for arrays that came from outside. It pickles by `to_bytes`.
    """

    __slots__ = (
        "_data",
        "_keys",
        "_seed",
        "estimate",
        "key_id",
        "length",
        "level",
        "packing",
        "parameters",
        "scale",
        "shape",
    )
    __array_ufunc__ = None
    """NumPy leaves operators to this class."""

    parameters: Parameters
    key_id: bytes
    shape: tuple[int, ...]
    length: int
    level: int
    scale: float
    packing: tuple[int, ...] | None
    """The shape of the numbers of a packed array, two of which share a slot."""
    estimate: Estimate | None
    _keys: PublicKey | None
    _seed: bytes | None
    _data: list[Residues]

    def __init__(
        self,
        parameters: Parameters,
        key_id: bytes,
        data: Residues,
        level: int,
        scale: float,
        length: int,
        *,
        seed: bytes | None = None,
        keys: PublicKey | None = None,
        packing: tuple[int, ...] | None = None,
        estimate: Estimate | None = None,
    ) -> None:
        """Not for users: `encrypt`, `load` and `from_bytes` make arrays.

        data: `uint64[*shape, size_of, level + 1, N]`, NTT domain, C-contiguous; with `seed`, only the first half of
        each, `uint64[*shape, level + 1, N]`, and the seed of the second.
        """
        self._set(
            parameters=parameters,
            key_id=key_id,
            _data=[data],
            _seed=seed,
            level=level,
            scale=scale,
            length=length,
            shape=data.shape[: -2 if seed is not None else -3],
            packing=packing,
            estimate=estimate,
            _keys=keys,
        )

    @property
    def data(self) -> Residues:
        """`uint64[*shape, size_of, level + 1, N]` in the NTT domain; not to be written."""
        data = self._data[0]
        if self._seed is not None and data.ndim == len(self.shape) + 2:
            basis = self.parameters.basis(self.level)
            mask = coins.expand(self._seed, self.shape, basis)
            data = np.stack([data, mask], axis=-3)
            # No lock: a fork could leave it held in the child. Of two expansions at once one is kept.
            self._data[0] = data
        return data

    @property
    def seeded(self) -> tuple[Residues, bytes] | None:
        """(first halves, seed) of a symmetric encryption that nothing was computed on."""
        if self._seed is None:
            return None
        data = self._data[0]
        if data.ndim == len(self.shape) + 3:
            data = contiguous(data[..., 0, :, :])
        return data, self._seed

    @property
    def size_of(self) -> int:
        """Polynomials of a ciphertext: 2, or 3 for a product that is not relinearised."""
        data = self._data[0]
        return 2 if data.ndim == len(self.shape) + 2 else data.shape[-3]

    @property
    def keys(self) -> PublicKey | None:
        """The public key whose evaluation keys it uses."""
        return self._keys

    @property
    def n_slots(self) -> int:
        """Slots of a ciphertext, used or not."""
        return self.parameters.n_slots

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many ciphertexts."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Memory of the ciphertexts as they are now."""
        return self._data[0].nbytes

    @property
    def _device(self) -> Device | None:
        return devices.device_of(self._data[0])

    @property
    def device(self) -> str:
        """Where the ciphertexts are: "cpu", or a GPU, "cuda:0" say. What is computed from them is there too."""
        return devices.name_of(self._device)

    def to(self, device: str) -> CkksArray:
        """The array on `device`: "cpu", "cuda" for the first GPU, "cuda:0", "cuda:1"; the same one where it is there.

        Operations then run there; keys and plaintexts are copied there at their first use. Encryption, decryption,
        encoding and serialisation are the host's. ValueError for another name, BackendUnavailable where the device
        cannot be used, DeviceMemoryError where the ciphertexts do not fit there.
        """
        target = devices.named(device)
        if target is self._device:
            return self
        host = devices.to_host(self.data)
        return self.replaced(devices.placed(host, target), estimate=self.estimate)

    @property
    def depth(self) -> int:
        """How many more products in a row it has levels for."""
        return self.level - self.parameters.bottom

    @property
    def canonical(self) -> bool:
        """It has the scale of its level: nothing is to be rescaled."""
        return self.scale == self.parameters.scales[self.level]

    def with_keys(self, keys: PublicKey) -> CkksArray:
        """The same ciphertexts with other evaluation keys; `PublicKey.bind` checks that they belong together."""
        return self._with(keys=keys)

    def with_length(self, length: int) -> CkksArray:
        """The same ciphertexts with another number of slots in use."""
        if not isinstance(length, int) or not 1 <= length <= self.n_slots:
            raise ValueError(f"length is {length!r}: give 1 to {self.n_slots}")
        return self._with(length=length)

    def with_estimate(self, estimate: Estimate | None) -> CkksArray:
        """The same ciphertexts with another estimate of their error."""
        return self._with(estimate=estimate)

    def replaced(
        self,
        data: Residues,
        *,
        level: int | None = None,
        scale: float | None = None,
        length: int | None = None,
        estimate: Estimate | None = None,
        keys: PublicKey | None = None,
    ) -> CkksArray:
        """An array of the same key with other ciphertexts: what operations return."""
        return CkksArray(
            self.parameters,
            self.key_id,
            data,
            self.level if level is None else level,
            self.scale if scale is None else scale,
            self.length if length is None else length,
            keys=self._keys if keys is None else keys,
            packing=self.packing,
            estimate=estimate,
        )

    def _with(self, **changes: Any) -> CkksArray:
        known: dict[str, Any] = {
            "length": self.length,
            "keys": self._keys,
            "estimate": self.estimate,
            **changes,
        }
        return CkksArray(
            self.parameters,
            self.key_id,
            self._data[0],
            self.level,
            self.scale,
            known["length"],
            seed=self._seed if self._data[0].ndim == len(self.shape) + 2 else None,
            keys=known["keys"],
            packing=self.packing,
            estimate=known["estimate"],
        )

    @devices.current
    def __add__(self, other: Any) -> CkksArray:
        return sums.add(self, other)

    @devices.current
    def __radd__(self, other: Any) -> CkksArray:
        return sums.add(self, other)

    @devices.current
    def __sub__(self, other: Any) -> CkksArray:
        return sums.subtract(self, other)

    @devices.current
    def __rsub__(self, other: Any) -> CkksArray:
        return sums.add(sums.negate(self), other)

    @devices.current
    def __mul__(self, other: Any) -> CkksArray:
        return products.multiply(self, other)

    @devices.current
    def __rmul__(self, other: Any) -> CkksArray:
        return products.multiply(self, other)

    @devices.current
    def __truediv__(self, other: Any) -> CkksArray:
        return products.divide(self, other)

    @devices.current
    def __neg__(self) -> CkksArray:
        return sums.negate(self)

    def __pos__(self) -> CkksArray:
        return self

    @devices.current
    def __pow__(self, exponent: int) -> CkksArray:
        return products.power(self, exponent)

    @devices.current
    def multiply(self, other: Any, *, relinearise: bool = True, rescale: bool = True) -> CkksArray:
        """`self * other`; without `relinearise` the product of two arrays has 3 polynomials a ciphertext, without
        `rescale` it keeps its level and the product of the scales: to add several products, then do both once."""
        return products.multiply(self, other, relinearise=relinearise, rescale=rescale)

    @devices.current
    def square(self, *, relinearise: bool = True, rescale: bool = True) -> CkksArray:
        """`self * self`, with fewer products."""
        return products.multiply(self, self, relinearise=relinearise, rescale=rescale)

    @devices.current
    def relinearise(self) -> CkksArray:
        """Ciphertexts of 3 polynomials as such of 2. MissingKey without a relinearisation key."""
        return products.relinearise(self)

    @devices.current
    def rescale(self) -> CkksArray:
        """One modulus less, and the scale divided by it. LevelError where no level is left."""
        return levels.rescale(self)

    @devices.current
    def at_level(self, level: int) -> CkksArray:
        """The same values at a lower level and its scale. LevelError for a higher one."""
        return levels.at_level(self, level)

    @devices.current
    def rotate(self, shift: int) -> CkksArray:
        """Slot i becomes slot i + shift of what was, around all `n_slots`: to the left where it is positive. `length`
        stays: of fewer slots, some of the values lie past it then, where `inner_sum` and further rotations find them.

        MissingKey without a Galois key for it, saying how to make one.
        """
        return rotations.rotate(self, shift)

    @devices.current
    def rotate_many(self, shifts: Iterable[int]) -> CkksArray:
        """All those rotations, as an array with one more axis in front; most of the work is done once [HS18]."""
        return rotations.rotate_many(self, shifts)

    @devices.current
    def conjugate(self) -> CkksArray:
        """The complex conjugates. MissingKey without a key for it."""
        return rotations.conjugate(self)

    @devices.current
    def inner_sum(self, width: int | None = None) -> CkksArray:
        """Slot i becomes the sum of slots i to i + width - 1, around all slots; without a width, every slot the sum of
        all. `length` becomes n_slots. Takes the rotations `rotations_for(parameters, width=width)`, powers of two: for
        the sum in slot 0 alone, `length` is width enough. MissingKey without them."""
        return windows.inner_sum(self, width)

    @devices.current
    def repeat(self, period: int) -> CkksArray:
        """The slots in use, filled up with zeros to `period` (a power of two), again and again: for `Matrix` and
        products with such arrays. Takes the rotations `rotations_for(parameters, period=period)`. Slots past `length`
        must hold zeros, as they do but after rotations and `with_length`: the estimate takes magnitudes to stay."""
        return windows.repeat(self, period)

    @devices.current
    def dot(self, other: Any, width: int | None = None) -> CkksArray:
        """`(self * other).inner_sum(width)`: the scalar product with an array or with numbers, in every slot."""
        return windows.dot(self, other, width)

    @devices.current
    def matmul(self, other: Any) -> CkksArray:
        """`self @ other` as NumPy's: with a matrix in the clear `[length, columns]`, vectors of `columns` numbers;
        with numbers `[length]`, `dot`. `matrix @ array` is the matrix times each vector, with a `Matrix` too, which is
        encoded once for many products."""
        return linear.matmul(self, other)

    @devices.current
    def __matmul__(self, other: Any) -> CkksArray:
        return linear.matmul(self, other)

    @devices.current
    def __rmatmul__(self, other: Any) -> CkksArray:
        return linear.multiply(other, self)

    @devices.current
    def polynomial(self, coefficients: Any) -> CkksArray:
        """Of each slot in use: sum of coefficients[j] x^j (real numbers, the constant first), or a `Series`, whose
        interval must hold the values. Takes ceil(log2(degree + 1)) levels, a series of an interval other than [-1, 1]
        one more. LevelError where fewer are left, MissingKey without a relinearisation key."""
        return polynomials.evaluate(self, coefficients)

    @devices.current
    def sigmoid(self, degree: int = 7, interval: tuple[float, float] = (-8.0, 8.0)) -> CkksArray:
        """1 / (1 + exp(-x)) of values in the interval, by a Chebyshev series: off by 0.030 at most for degree 7 in
        [-8, 8], more in docs/ckks.md; `sigmoid_series(degree, interval).max_error` tells."""
        return polynomials.evaluate(self, polynomials.sigmoid_series(degree, interval))

    @devices.current
    def sum(self, axis: int = 0) -> CkksArray:
        """The sum over an axis of the array of ciphertexts."""
        return sums.total(self, axis)

    @devices.current
    def reshape(self, *shape: int | tuple[int, ...]) -> CkksArray:
        """The same ciphertexts in another shape."""
        wanted: Any = shape[0] if len(shape) == 1 else shape
        self._refuse_packed("reshaped")
        data = self.data
        try:
            new = np.empty(self.shape, np.bool_).reshape(wanted).shape
        except ValueError:
            raise ValueError(
                f"{self.size} ciphertexts of shape {self.shape} do not make the shape {wanted}"
            ) from None
        return self.replaced(data.reshape(*new, *data.shape[-3:]), estimate=self.estimate)

    @devices.current
    def __getitem__(self, index: Any) -> CkksArray:
        """Ciphertexts by index or slice of the array's axes; slots are not indexed."""
        self._refuse_packed("indexed")
        parts = index if isinstance(index, tuple) else (index,)
        if len([part for part in parts if part is not None and part is not Ellipsis]) > self.ndim:
            raise IndexError(
                f"{len(parts)} indexes for an array of shape {self.shape}: slots cannot be indexed"
            )
        positions = np.arange(self.size).reshape(self.shape)[index]
        data = self.data
        flat = data.reshape(self.size, *data.shape[-3:])
        picked = gather(flat, np.asarray(positions).reshape(-1).tolist())
        return self.replaced(picked.reshape(*np.shape(positions), *data.shape[-3:]), estimate=self.estimate)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a single ciphertext")
        return self.shape[0]

    def __iter__(self) -> Iterator[CkksArray]:
        if not self.shape:
            raise TypeError("iteration over a single ciphertext")
        return (self[i] for i in range(len(self)))

    @devices.current
    def to_bytes(self) -> bytes:
        """The array as one buffer: each number of the modulus's whole bytes, seeds for halves that are known by one.
        ValueError for a transparent ciphertext (a product with 0), which anyone reads: see `PublicKey.rerandomise`."""
        return serial.array_to_bytes(self.to("cpu"))

    @classmethod
    def from_bytes(
        cls,
        buffer: bytes | bytearray | memoryview,
        *,
        insecure_allow_weak: bool = False,
        parameters: Parameters | None = None,
    ) -> CkksArray:
        """The array that `to_bytes` wrote, without evaluation keys: `PublicKey.load` gives it those of a key.

        Everything is checked: CorruptData for a damaged or unknown buffer, InvalidCiphertext for numbers that are no
        residues, ValueError for parameters that are insecure. parameters: those that are expected, InvalidCiphertext
        for others; without them, one of the presets: a small buffer cannot make this process compute the tables of any
        it likes (50 MB for the largest). insecure_allow_weak, for tests, admits any.
        """
        fields = serial.parse_array(buffer, insecure_allow_weak, parameters)
        return cls(
            fields.parameters,
            fields.key_id,
            fields.data,
            fields.level,
            fields.scale,
            fields.length,
            seed=fields.seed,
            packing=fields.packing,
        )

    def __reduce__(self) -> Any:
        return _load, (self.to_bytes(), self.parameters)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the values are encrypted: decrypt first, with SecretKey.decrypt")

    __bool__ = __int__ = __float__ = __complex__ = __index__ = __array__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = None  # type: ignore[assignment]

    def _refuse_packed(self, what: str) -> None:
        if self.packing is not None:
            raise TypeError(
                f"{levels.describe_all(self)}, and the array is packed, it cannot be {what}: encrypt without"
                " packed=True for that"
            )

    def __repr__(self) -> str:
        packed = f", packed {self.packing}" if self.packing is not None else f", {self.length} slots"
        return (
            f"CkksArray(shape={self.shape}{packed}, level {self.level}, scale 2^{math.log2(self.scale):.2f},"
            f" key {self.key_id[:4].hex()})"
        )


def _load(buffer: bytes, parameters: Parameters) -> CkksArray:
    return CkksArray.from_bytes(buffer, parameters=parameters)


def stack(arrays: Iterable[CkksArray]) -> CkksArray:
    """Arrays of one shape, level and scale as one with a new first axis."""
    items = list(arrays)
    if not items or not all(isinstance(item, CkksArray) for item in items):
        raise TypeError(f"arrays is {kind(arrays)}: give at least one CkksArray")
    first = items[0]
    for item in items[1:]:
        levels.check_alike(first, item)
        if item.shape != first.shape or item.size_of != first.size_of or item.packing != first.packing:
            raise ValueError(
                f"{levels.describe_all(first, item)}, and shapes {first.shape} and {item.shape}, {first.size_of} and"
                f" {item.size_of} polynomials, packing {first.packing} and {item.packing}: give arrays alike, as"
                " reshape() and relinearise() make them"
            )
    first._refuse_packed("stacked")
    estimate = levels.worst([item.estimate for item in items])
    length = max(item.length for item in items)
    data = namespace(first.data).stack([item.data for item in items])
    return first.replaced(data, length=length, estimate=estimate)
