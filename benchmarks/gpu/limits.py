# SPDX-License-Identifier: Apache-2.0
"""What a multiprocessor can do a clock and memory in a second, and how much of them one item needs.

The limit of a case is the lesser of multiprocessors * clock * rate / operations and bandwidth / bytes.

The rates are those of Hopper's tables as far as published; `wide` is inferred (32 lanes a clock, half rate), which the
unit of that name measures. Needs are counts of the algorithm, not of our machine code: 100 % means no overhead at all.
Where the algorithm leaves a choice (tables, passes over memory) they are those of our form of it, and `what` says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PER_CLOCK = {"wide": 32.0, "alu": 64.0, "lds": 32.0, "bytes": 0.0}
"""Lane operations a clock of one multiprocessor: IMAD.WIDE; IADD3, LOP3 and SHF together; 4-byte loads from shared
memory without bank conflicts. What needs `bytes` needs none: memory alone limits it."""
ALU_OPS = {"sha256": 1024, "sm3": 1068, "blake3": 456}
"""Rotations, shifts and logic of one compression; every addition goes to the FMA pipe (kernels/hashing/NOTES.md)."""


@dataclass(frozen=True)
class Need:
    """Lane operations of a unit for one item, the sum that says so, and bytes between the item and memory."""

    unit: str
    per_item: float
    what: str
    n_bytes: float = 0

    def of_unit(self, multiprocessors: int, clock_hz: float, per_clock: float | None = None) -> float:
        """The most items a second by the unit alone, infinite where none is needed; `per_clock` where measured."""
        if not self.per_item:
            return math.inf
        rate = PER_CLOCK[self.unit] if per_clock is None else per_clock
        return multiprocessors * clock_hz * rate / self.per_item

    def of_memory(self, bandwidth: float) -> float | None:
        """The most items a second by bytes alone, at so many a second; None where no byte must move."""
        return bandwidth / self.n_bytes if self.n_bytes else None

    def per_second(
        self,
        multiprocessors: int,
        clock_hz: float,
        per_clock: float | None = None,
        bandwidth: float | None = None,
    ) -> float:
        """The most items a second; by the unit alone where the bandwidth is not known."""
        of_unit = self.of_unit(multiprocessors, clock_hz, per_clock)
        of_memory = self.of_memory(bandwidth) if bandwidth else None
        return of_unit if of_memory is None else min(of_unit, of_memory)


def mul_wides(bits: int) -> int:
    """IMAD.WIDE of one Montgomery product."""
    n = -(-bits // 32)
    return 2 * n * n + n


def sqr_wides(bits: int) -> int:
    """IMAD.WIDE of one Montgomery squaring that uses the symmetry."""
    n = -(-bits // 32)
    return n * (n + 1) // 2 + n * n + n


def powm_wides(bits: int, exponent_bits: int) -> float:
    """IMAD.WIDE of one power by sliding windows, the best width."""
    counts = (exponent_bits / w + 2 ** (w - 1) for w in range(1, 12))
    return exponent_bits * sqr_wides(bits) + min(counts) * mul_wides(bits)


def mul(bits: int) -> Need:
    return Need("wide", mul_wides(bits), "2 n^2 + n IMAD.WIDE, n limbs of 32 bits", 3 * bits // 8)


def powm(bits: int, exponent_bits: int, times: int = 1) -> Need:
    what = "e squarings of n (n + 1) / 2 + n^2 + n and e / w + 2^(w - 1) products of 2 n^2 + n IMAD.WIDE"
    return Need(
        "wide",
        times * powm_wides(bits, exponent_bits),
        what if times == 1 else f"{times} x ({what})",
        (2 * bits + exponent_bits) / 8,
    )


def comb(bits: int, exponent_bits: int, window: int, times: int = 1) -> Need:
    products = times * -(-exponent_bits // window)
    return Need(
        "wide",
        products * mul_wides(bits),
        f"{products} products of {bits} bits (windows of {window}), 2 n^2 + n IMAD.WIDE each",
        (times * bits + exponent_bits) / 8,
    )


LOG_ONE_PASS = 13
"""Up to which an element of a ring fits a multiprocessor's shared memory: one pass over it a transform, else two."""


def transforms(log_n: int, count: int = 1) -> Need:
    n = count * log_n << (log_n - 1)
    passes = 1 if log_n <= LOG_ONE_PASS else 2
    return Need(
        "wide",
        7.0 * n,
        f"{n} butterflies of 5 wide products and 4 IMAD, which count half; {16 * passes} bytes an element of a limb",
        16.0 * passes * (count << log_n),
    )


def key_switch(log_n: int, moduli: int, special: int, digits: int, *, rescale: bool = False) -> Need:
    """Transforms: every modulus back, each digit to all moduli but its own, of both halves the special moduli back (and
    with `rescale` the one that goes) and the others forward."""
    last = int(rescale)
    back = moduli + 2 * (special + last)
    forward = digits * (moduli + special) - moduli + 2 * (moduli - last)
    return transforms(log_n, back + forward)


def compression(algorithm: str, width: int) -> Need:
    n = ALU_OPS[algorithm]
    return Need(
        "alu", n, f"{n} operations of the integer pipe a compression, one compression a message", width + 32
    )


# GF(2^255 - 19) in eight limbs (kernels/curve25519/field.cuh): 64 or 36 products, and 8 that fold the upper half by 38.
_FE_MUL, _FE_SQR, _FE_SMALL = 64 + 8, 36 + 8, 8
_DOUBLING = 2 * _FE_MUL + 2 * _FE_SQR + _FE_SMALL
_INVERSION = 254 * _FE_SQR + 13 * _FE_MUL
_SHARED_BY = 8
"""Warps of a block, of which one inverts for all, at three products a warp but the first [Montgomery 1987, 10.3.1]."""
_DIVISION = (_INVERSION + 3 * (_SHARED_BY - 1) * _FE_MUL) / _SHARED_BY + _FE_MUL


def x25519() -> Need:
    step = _DOUBLING + 3 * _FE_MUL + 2 * _FE_SQR
    what = "251 steps of 5 products (72), 4 squares (44), 8; 4 doublings; an eighth of an inversion and 21 products"
    return Need("wide", 251 * step + 4 * _DOUBLING + _DIVISION, what, 64)


def elligator() -> Need:
    character = 253 * _FE_SQR + 12 * _FE_MUL
    around = 2 * _FE_SQR + _FE_MUL + 4 * _FE_SMALL
    what = (
        "253 squares (44) and 12 products (72) of the character; an eighth of an inversion and of 21 products"
    )
    return Need("wide", character + around + _DIVISION, what, 64)


_AES_OPS = 160 + 3 * 36 + 2 * 36 + 4 + 4 * 4
"""Bytes taken out, three rotations and two three-operand logic operations a column and round, the first key, the last
round. The 160 look-ups in shared memory take less: 5.0 clocks against 5.6; their addresses are IMAD."""


def aes(blocks: float, n_bytes: float) -> Need:
    return Need(
        "alu", blocks * _AES_OPS, f"{blocks:g} AES of {_AES_OPS} operations beside 160 look-ups each", n_bytes
    )


def bit_transpose() -> Need:
    return Need("bytes", 0, "16 bytes read and 16 written", 32)


_GF128_WIDES = 9 * 16
"""Karatsuba on four words, twice: nine products of 32 x 32 bits, 16 IMAD.WIDE each without carries."""


def gf128_multiply() -> Need:
    return Need("wide", _GF128_WIDES, "9 products of 32 x 32 bits without carries, 16 IMAD.WIDE each", 48)


def primal_encode() -> Need:
    what = (
        f"1.25 AES of {_AES_OPS}, ten positions, ten xors of four words; the table's ten reads come from L2"
    )
    return Need("alu", 1.25 * _AES_OPS + 10 + 20, what, 32)


def expand_convolute(weight: int) -> Need:
    blocks = 1 + weight / 4
    what = f"{blocks:g} AES of {_AES_OPS}, four steps of 12 masked xors and {weight} xors of four words; reads are L2's"
    return Need("alu", blocks * _AES_OPS + 4 * 12 * 4 + 2 * weight, what, 80)


_DENSE = 3
"""Dense columns of a bin of 50,000 keys among 16,384."""
_GF128_OPS = 258
"""Masks, Karatsuba and reduction beside the 144 IMAD.WIDE of a product, which take less time."""
_EXPANSION = 1.256
"""Columns a key."""


def okvs_decode() -> Need:
    what = f"2 AES of {_AES_OPS}, {_DENSE} products in GF(2^128) of {_GF128_OPS}; three reads of 16 bytes are L2's"
    return Need("alu", 2 * _AES_OPS + _DENSE * _GF128_OPS, what, 32)


def okvs_encode() -> Need:
    """Without `fill`: the dense columns are zeros then."""
    what = f"an AES of {_AES_OPS} and three columns; 17 accesses of peeling and substitution are L2's"
    return Need("alu", _AES_OPS + 20, what, 16 + 16 + 16 * _EXPANSION)


def psi_vole() -> Need:
    """Of both parties: 16 AES a VOLE, a VOLE a column, one AES to encode and two to decode."""
    blocks = 16 * _EXPANSION + 3
    return Need("alu", blocks * _AES_OPS, f"{blocks:.3g} AES of {_AES_OPS}, both parties'", 6 * 16)


def psi_ecdh() -> Need:
    """Of both parties: every key is multiplied by both scalars."""
    return Need("wide", 4 * x25519().per_item, "four X25519, both parties'", 4 * 64)


TAG_BYTES = 10
"""Of a tag of VOLE-PSI for some millions of keys."""
_LEVEL = 16 + 16
"""A level of a distribution: a row read to be counted, and read to be moved; it is written beside."""


def by_bin() -> Need:
    return Need("bytes", 0, "counted, moved with its place, and 3 bytes of counters", _LEVEL + 20 + 3)


def group() -> Need:
    what = "counted and moved, 11 bytes of counters, tiles sorted in shared memory, heads found, key and row written"
    return Need("bytes", 0, what, _LEVEL + 16 + 11 + 32 + 16 + 40)


def sort_tags() -> Need:
    what = f"{TAG_BYTES} bytes widened to 16, counted, moved with its place, tiles sorted in shared memory"
    return Need("bytes", 0, what, TAG_BYTES + 16 + _LEVEL + 20 + 20 + TAG_BYTES + 4)


def match() -> Need:
    """Of an own and a peer tag."""
    what = (
        "own tags as for sort_tags and compared with their neighbours; peer tags searched among them; pairs"
    )
    own = TAG_BYTES + 16 + _LEVEL + 20 + 20 + 20 + 16
    return Need("bytes", 0, what, own + TAG_BYTES + 20 + 4 + 4 + 4 + 8)
