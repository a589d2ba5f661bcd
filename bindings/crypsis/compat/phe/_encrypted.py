# SPDX-License-Identifier: Apache-2.0
"""`EncryptedNumber`: python-paillier's operators, noted for `_arithmetic` to compute in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crypsis.compat.phe._arithmetic import Arithmetic, Node
from crypsis.compat.phe.encoding import EncodedNumber

if TYPE_CHECKING:
    from crypsis.compat.phe.paillier import PaillierPublicKey


_new = object.__new__


class EncryptedNumber:
    """An encrypted number: a ciphertext, and the exponent of its encoding in the clear.

    public_key: a `PaillierPublicKey`, else TypeError. ciphertext: an integer, reduced modulo n^2 when it is computed
    with. exponent: of `EncodedNumber.BASE`.

    `+ - * /` take ints, floats and `EncodedNumber`s, `+ -` also numbers encrypted under the same key (ValueError for
    another key's). A product of two encrypted numbers does not exist: NotImplementedError.
    """

    exponent: int
    public_key: PaillierPublicKey
    _node: Node
    _blinded: bool
    _place: int = -1

    def __init__(self, public_key: PaillierPublicKey, ciphertext: int, exponent: int = 0) -> None:
        if not hasattr(public_key, "arithmetic"):
            raise TypeError(f"public_key is {type(public_key).__name__}: give a PaillierPublicKey")
        self.public_key = public_key
        self.exponent = exponent
        self._node = Node(ciphertext)
        self._blinded = False
        arithmetic = public_key.arithmetic
        if arithmetic.recent is not None:
            arithmetic.recent.add(self)

    @property
    def _arithmetic(self) -> Arithmetic:
        return self.public_key.arithmetic

    def _noted(self, exponent: int, plain: int, *terms: tuple[Node, int]) -> EncryptedNumber:
        """A number of this key: the product of the terms (node, weight) and 1 + n * plain."""
        result = _new(EncryptedNumber)
        result.public_key = key = self.public_key
        result.exponent = exponent
        result._blinded = False
        arithmetic = key.arithmetic
        result._node = arithmetic.note(terms, plain, result)
        if arithmetic.recent is not None:
            arithmetic.recent.add(result)
        return result

    def ciphertext(self, be_secure: bool = True) -> int:
        """The ciphertext. It is blinded anew first, unless it is fresh from `encrypt` or blinded before.

        be_secure=False leaves that out: the result of a computation then shows what was computed to who knows the
        operands. Never give such a ciphertext away.
        """
        if be_secure and not self._blinded:
            self.obfuscate()
        value: int = self._arithmetic.value_of(self._node)
        return value

    def obfuscate(self) -> None:
        """Blind the ciphertext anew: it decrypts the same, and tells nothing of how it came about."""
        key = self.public_key
        self._node = Node(key.blinded(self._arithmetic.value_of(self._node)))
        self._blinded = True

    def decrease_exponent_to(self, new_exp: int) -> EncryptedNumber:
        """The same number with the exponent `new_exp`. ValueError where that is above the present one."""
        if new_exp > self.exponent:
            raise ValueError(
                f"new_exp is {new_exp}, above the present exponent {self.exponent}: it can only decrease"
            )
        return self._noted(new_exp, 0, (self._node, self._steps_to(new_exp)))

    def _steps_to(self, exponent: int) -> int:
        """The factor from this exponent down to another. ValueError where it is beyond the plaintexts."""
        factor: int = EncodedNumber.BASE ** (self.exponent - exponent)
        if factor > self.public_key.max_int:
            raise ValueError(
                f"exponents {self.exponent} and {exponent} are too far apart for this key: use a longer key or"
                " a precision when encrypting"
            )
        return factor

    def __add__(self, other: Any) -> EncryptedNumber:
        if isinstance(other, EncryptedNumber):
            return self._plus(other, 1)
        if isinstance(other, EncodedNumber):
            return self._plus_encoded(other)
        return self._plus_encoded(EncodedNumber.encode(self.public_key, other, max_exponent=self.exponent))

    def __radd__(self, other: Any) -> EncryptedNumber:
        return self.__add__(other)

    def __sub__(self, other: Any) -> EncryptedNumber:
        if isinstance(other, EncryptedNumber):
            return self._plus(other, -1)
        return self.__add__(other * -1)

    def __rsub__(self, other: Any) -> EncryptedNumber:
        return (self * -1).__add__(other)

    def __mul__(self, other: Any) -> EncryptedNumber:
        if isinstance(other, EncryptedNumber):
            raise NotImplementedError(
                "Paillier's scheme has no product of two encrypted numbers: decrypt one of them"
            )
        encoded = other if isinstance(other, EncodedNumber) else EncodedNumber.encode(self.public_key, other)
        return self._noted(self.exponent + encoded.exponent, 0, (self._node, self._signed(encoded.encoding)))

    def __rmul__(self, other: Any) -> EncryptedNumber:
        return self.__mul__(other)

    def __truediv__(self, scalar: Any) -> EncryptedNumber:
        return self.__mul__(1 / scalar)

    def _plus(self, other: EncryptedNumber, sign: int) -> EncryptedNumber:
        if other.public_key is not self.public_key and other.public_key != self.public_key:
            raise ValueError("the two numbers are encrypted under different keys: they cannot be added")
        exponent, mine, theirs = self.exponent, 1, sign
        if exponent > other.exponent:
            exponent = other.exponent
            mine = self._steps_to(exponent)
        elif exponent < other.exponent:
            theirs = sign * other._steps_to(exponent)
        return self._noted(exponent, 0, (self._node, mine), (other._node, theirs))

    def _plus_encoded(self, encoded: EncodedNumber) -> EncryptedNumber:
        key = self.public_key
        if encoded.public_key is not key and encoded.public_key != key:
            raise ValueError("the encoded number is for another key: encode it for this one")
        mine = 1
        if self.exponent > encoded.exponent:
            mine = self._steps_to(encoded.exponent)
        elif self.exponent < encoded.exponent:
            encoded = encoded.decrease_exponent_to(self.exponent)
        return self._noted(encoded.exponent, self._signed(encoded.encoding), (self._node, mine))

    def _signed(self, encoding: int) -> int:
        """The encoded integer with its sign. ValueError, TypeError for what is no encoding for this key."""
        key = self.public_key
        if not isinstance(encoding, int):
            raise TypeError(f"the encoding is {type(encoding).__name__}: it must be an int")
        if not 0 <= encoding < key.n:
            raise ValueError("the encoding is not from 0 to n - 1: encode the number for this key")
        return encoding - key.n if encoding >= key.n - key.max_int else encoding

    def __getstate__(self) -> dict[str, Any]:
        return {
            "public_key": self.public_key,
            "_EncryptedNumber__ciphertext": self.ciphertext(be_secure=False),
            "exponent": self.exponent,
            "_EncryptedNumber__is_obfuscated": self._blinded,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            state["public_key"], state["_EncryptedNumber__ciphertext"], state["exponent"]
        )
        self._blinded = bool(state["_EncryptedNumber__is_obfuscated"])
