# SPDX-License-Identifier: Apache-2.0
"""Additively homomorphic keys and ciphertexts between the parties of a training: which scheme, and how they travel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from crypsis import okamoto_uchiyama, paillier
from crypsis.errors import ConfigError, CrypsisError, ProtocolAbort
from crypsis.mpc.learning.meter import Meter
from crypsis.mpc.transport import Channel

Scheme = Literal["okamoto-uchiyama", "paillier"]
PublicKey = paillier.PublicKey | okamoto_uchiyama.PublicKey
PrivateKey = paillier.PrivateKey | okamoto_uchiyama.PrivateKey
CipherArray = paillier.CipherArray
UnblindedCipherArray = paillier.UnblindedCipherArray

_MODULES: dict[str, Any] = {"okamoto-uchiyama": okamoto_uchiyama, "paillier": paillier}
MESSAGE_BYTES = 4 << 20
"""What one message of ciphertexts takes at most, but for a row that alone takes more."""


@dataclass(frozen=True, kw_only=True)
class CipherOptions:
    """Which scheme, how long a key, and where its arithmetic runs; both parties must give the same but for `device`,
    `vartime` and `ahead`.

    scheme         "okamoto-uchiyama" (several times faster; plaintexts of a third of the key) or "paillier"
    key_bits       2048 (112 bits of security) to 4096; 3072 (128 bits) by default
    device         "cpu", or a GPU, "cuda:0" say
    vartime        faster multiplication by one's own numbers in the clear, with time and memory addresses that depend
                   on them: where nobody else runs code on the machine
    ahead          boosting's guest makes the blinding factors of a tree while it waits for the hosts' sums of the tree
                   before, on a thread of its own: a ciphertext of memory for each row
    """

    scheme: Scheme = "okamoto-uchiyama"
    key_bits: int = 3072
    device: str = "cpu"
    vartime: bool = False
    ahead: bool = False
    insecure_allow_small_key: bool = False

    def __post_init__(self) -> None:
        if self.scheme not in get_args(Scheme):
            raise ConfigError(f"scheme is {self.scheme!r}; give one of {', '.join(get_args(Scheme))}")
        secure = type(self.key_bits) is int and 2048 <= self.key_bits <= 4096
        if not (secure or (self.insecure_allow_small_key and type(self.key_bits) is int)):
            raise ConfigError(
                f"key_bits is {self.key_bits!r}; give 2048 to 4096 (3072 has 128 bits of security)"
            )

    def public(self) -> dict[str, Any]:
        """What both parties must have the same."""
        return {
            "scheme": self.scheme,
            "key_bits": self.key_bits,
            "insecure_allow_small_key": self.insecure_allow_small_key,
        }

    def generate(self) -> PrivateKey:
        """A fresh key of one's own."""
        _, private = _MODULES[self.scheme].generate_keypair(
            self.key_bits, insecure_allow_small_key=self.insecure_allow_small_key
        )
        key: PrivateKey = private
        return key

    def public_key_from(self, channel: Channel, buffer: memoryview) -> PublicKey:
        """The peer's key, checked: scheme, size, numbers that can be a key's. ProtocolAbort naming the peer."""
        try:
            key: PublicKey = _MODULES[self.scheme].PublicKey.from_bytes(
                bytes(buffer), insecure_allow_small_key=self.insecure_allow_small_key
            )
        except (CrypsisError, ValueError) as error:
            raise ProtocolAbort(f"the public key of {channel.peer} is refused: {error}") from error
        if key.n_bits != self.key_bits:
            raise ProtocolAbort(
                f"the public key of {channel.peer} has {key.n_bits} bits where {self.key_bits} were agreed; ended"
            )
        return key


def send_ciphertexts(channel: Channel, stream: int, array: CipherArray) -> None:
    """Sends a blinded array in messages of some 4 MiB, cut along its first axis. The receiver knows the shape.

    TypeError for an `UnblindedCipherArray`: rerandomize it first.
    """
    if array.ndim == 0:
        array = array.reshape(1)
    for part in row_blocks(array.shape, array.public_key.modulus.limbs):
        channel.send(stream, array[part].to("cpu").to_bytes())


def received_blocks(
    channel: Channel,
    stream: int,
    key: PublicKey,
    shape: tuple[int, ...],
    *,
    exponent: int,
    device: str,
    meter: Meter,
) -> Iterator[tuple[slice, UnblindedCipherArray]]:
    """What the peer sent with `send_ciphertexts`, of `shape` and `exponent` (one for all), every ciphertext checked,
    block by block: (rows of the first axis, their ciphertexts).

    ProtocolAbort naming the peer for another shape, exponent or key.
    """
    for part in row_blocks(shape, key.modulus.limbs):
        with meter("wait"):
            buffer = channel.recv(stream)
        try:
            with meter("he"):
                array = key.load_ciphertexts(buffer, device=device)
        except (CrypsisError, ValueError) as error:
            raise ProtocolAbort(f"ciphertexts of {channel.peer} are refused: {error}") from error
        due = (part.stop - part.start, *shape[1:])
        if array.shape != due:
            raise ProtocolAbort(
                f"{channel.peer} sent ciphertexts of shape {array.shape} where {due} were due; ended"
            )
        if array.base != 16 or not isinstance(array.exponent, int) or array.exponent != exponent:
            raise ProtocolAbort(
                f"{channel.peer} sent ciphertexts with exponents where {exponent} was due for all; ended"
            )
        yield part, array


def row_blocks(shape: tuple[int, ...], n_limbs: int) -> list[slice]:
    """How an array is cut for its messages: slices of the first axis, at least one: an empty array is sent too."""
    width = 8 * n_limbs
    for length in shape[1:]:
        width *= length
    step = max(1, MESSAGE_BYTES // max(1, width))
    return [slice(i, min(shape[0], i + step)) for i in range(0, shape[0], step)] or [slice(0, 0)]
