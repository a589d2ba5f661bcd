# SPDX-License-Identifier: Apache-2.0
"""`Context`: parameters, keys, bytes and pickles; which error comes for what is as TenSEAL 0.3.18 answered."""

from __future__ import annotations

import copy
import struct
import zlib
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest

import crypsis.compat.tenseal as ts
from crypsis.compat.tenseal.enc_context import GaloisKeys, PublicKey, RelinKeys, SecretKey
from crypsis.errors import CorruptData, InvalidCiphertext, MissingKey

CKKS = ts.SCHEME_TYPE.CKKS
SYMMETRIC = ts.ENCRYPTION_TYPE.SYMMETRIC


def small(**options: Any) -> Any:
    made = ts.context(CKKS, 4096, coeff_mod_bit_sizes=[40, 20, 40], **options)
    made.global_scale = 2**20
    return made


@pytest.fixture(scope="module")
def owner() -> Any:
    return small()


def near(values: Any, expected: Any, atol: float = 0.2) -> None:
    """At scale 2^20 the noise of a public encryption has standard deviation 0.015 a slot."""
    np.testing.assert_allclose(values, expected, atol=atol, rtol=0)


def pickled(value: Any) -> bytes:
    """As `multiprocessing` sends it."""
    return bytes(ForkingPickler.dumps(value))


def unpickled(data: bytes) -> Any:
    return ForkingPickler.loads(data)


@pytest.mark.parametrize(
    ("degree", "sizes", "moduli", "special", "log_scale", "depth"),
    [
        (8192, [60, 40, 40, 60], (60, 40, 40), (60,), 40, 2),
        (16384, [60, 40, 40, 40, 40, 40, 40, 60], (60, *[40] * 6), (60,), 40, 6),
        (4096, [40, 20, 40], (40, 21), (40,), 20, 1),
        (8192, [40, 21, 21, 21, 21, 21, 21, 40], (40, *[21] * 6), (40,), 21, 6),
        (8192, [31, 26, 26, 26, 26, 26, 26, 31], (31, *[26] * 6), (31,), 26, 6),
        (8192, [60, 40, 40], (60, 40), (60,), 40, 1),
        (8192, [60, 60], (60,), (60,), 30, 0),
        (8192, [60], (60,), (), 40, 0),
        (8192, [], (43, 43, 44, 44), (44,), 43, 2),
        (32768, [60, *[40] * 16, 60], (60, *[40] * 16), (60,), 40, 16),
    ],
)
def test_parameters(
    degree: int, sizes: list[int], moduli: Any, special: Any, log_scale: int, depth: int
) -> None:
    context = ts.context(CKKS, degree, coeff_mod_bit_sizes=sizes)
    context.global_scale = 2**log_scale
    literal = context.parameters.literal
    assert (1 << literal.log_n, literal.moduli_bits, literal.special_bits) == (degree, moduli, special)
    assert (literal.log_scale, context.parameters.depth) == (log_scale, depth)
    assert not context.parameters.insecure
    assert context.has_relin_keys() == bool(special)


@pytest.mark.parametrize(
    ("degree", "sizes", "error", "message"),
    [
        (4096, [60, 40, 40], ValueError, "140 bits together.* at most 109 are 128-bit secure"),
        (8192, [60, 60, 60, 60], ValueError, "240 bits together.* at most 218"),
        (8192, [60, 60, 58, 40], ValueError, "218 bits together .238 with a special prime.* at most 218"),
        (8192, [61, 60], ValueError, "is 61: primes have 2 to 60 bits"),
        (8192, [60, 1], ValueError, "is 1: primes have 2 to 60 bits"),
        (8192, [60.0, 60], TypeError, "give ints"),
        (1000, [27], ValueError, "power of two"),
        (512, [27], ValueError, "power of two"),
        (65536, [], ValueError, "give the sizes"),
        (None, [60, 60], TypeError, "poly_modulus_degree is NoneType"),
    ],
)
def test_refused_parameters(degree: Any, sizes: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ts.context(CKKS, degree, coeff_mod_bit_sizes=sizes)


def test_other_schemes() -> None:
    for call in (
        lambda: ts.context(ts.SCHEME_TYPE.BFV, 4096, 1032193),
        lambda: ts.bfv_vector(None, [1]),
        lambda: ts.bfv_tensor_from(None, b""),
    ):
        with pytest.raises(NotImplementedError, match="BFV is not implemented"):
            call()
    for scheme in (ts.SCHEME_TYPE.NONE, "ckks", None):
        with pytest.raises(ValueError, match=r"give SCHEME_TYPE\.CKKS"):
            ts.context(scheme, 4096)
    with pytest.raises(TypeError, match="give an ENCRYPTION_TYPE"):
        ts.context(CKKS, 4096, encryption_type="symmetric")


def test_scales(owner: Any) -> None:
    fresh = ts.context(CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40, 60])
    with pytest.raises(ValueError, match="no global scale: set context"):
        ts.ckks_vector(fresh, [1.0])
    fresh = ts.context(CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40, 60])
    with pytest.raises(ValueError, match="no global scale"):
        assert fresh.global_scale
    with pytest.raises(
        ValueError, match=r"the primes after the first have 40 bits.* set the scale to 2\*\*40"
    ):
        fresh.global_scale = 2**50  # TenSEAL: wrong products
    fresh.global_scale = 2**30
    fresh.generate_galois_keys()
    fresh.global_scale = 2**40  # no key was used yet
    assert ts.ckks_vector(fresh, [1.0]).scale() == 2**40
    assert ts.ckks_vector(fresh, [1.0], scale=2**20).scale() == 2**20
    near((ts.ckks_vector(fresh, [1.0], scale=2**20) * 0.5).decrypt(), [0.5], 1e-6)
    fresh.global_scale = 2**30
    with pytest.raises(ValueError, match=r"the keys of this context are for 2\^40"):
        fresh.global_scale = 2**50
    with pytest.raises(ValueError, match=r"the keys of this context are for 2\^40"):
        ts.ckks_vector(fresh, [1.0], scale=2.0**45)
    for value in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="give a power of two"):
            fresh.global_scale = value
    mixed = ts.context(CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 25, 60])
    with pytest.raises(ValueError, match="they must be of the size of the scale"):
        mixed.global_scale = 2**40
    with pytest.raises(ValueError, match=r"have room for 2\^58"):
        ts.context(CKKS, 8192, coeff_mod_bit_sizes=[60, 60]).global_scale = 2**59
    # a smaller scale than the primes': products are right, and TenSEAL's are not
    low = ts.context(CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 40, 60])
    low.global_scale = 2**30
    near((ts.ckks_vector(low, [3.0]) * 2.5).decrypt(), [7.5], 1e-5)


def test_one_prime_only_adds() -> None:
    context = ts.context(CKKS, 2048, coeff_mod_bit_sizes=[54])  # TenSEAL: RuntimeError
    context.global_scale = 2**40
    x = ts.ckks_vector(context, [1.5, 2.5])
    near((x + x - 1).decrypt(), [2, 4], 1e-4)
    assert not context.has_relin_keys()
    for call in (context.generate_galois_keys, context.generate_relin_keys):
        with pytest.raises(ValueError, match="has one prime"):
            call()
    with pytest.raises(MissingKey):
        x * x


def test_questions(owner: Any) -> None:
    assert (owner.is_private(), owner.is_public(), owner.has_secret_key(), owner.has_public_key()) == (
        True, False, True, True,
    )  # fmt: skip
    assert (owner.auto_relin, owner.auto_rescale, owner.auto_mod_switch) == (True, True, True)
    assert (owner.has_relin_keys(), owner.has_galois_keys(), owner.global_scale) == (True, False, 2.0**20)
    assert isinstance(owner.secret_key(), SecretKey)
    assert isinstance(owner.public_key(), PublicKey)
    assert isinstance(owner.relin_keys(), RelinKeys)
    with pytest.raises(ValueError, match="doesn't hold Galois keys"):
        owner.galois_keys()
    with pytest.raises(NotImplementedError, match="no SEAL here"):
        owner.seal_context()
    assert "4096" in repr(owner)


def test_public_context(owner: Any) -> None:
    public = ts.context_from(owner.serialize())
    assert (public.is_public(), public.has_secret_key(), public.has_public_key()) == (True, False, True)
    assert (public.has_relin_keys(), public.has_galois_keys()) == (True, False)
    assert (public.global_scale, public.auto_relin) == (2.0**20, True)
    x = ts.ckks_vector(public, [1.0, 2.0])
    for call in (x.decrypt, public.secret_key, public.generate_galois_keys, public.generate_relin_keys):
        with pytest.raises(ValueError, match="the context is public"):
            call()
    near(x.decrypt(owner.secret_key()), [1, 2])
    near((x * x).decrypt(owner.secret_key()), [1, 4])
    for call in (lambda: x.decrypt(3), lambda: public.generate_galois_keys(3)):
        with pytest.raises(TypeError, match="secret_key is int"):
            call()
    public.generate_galois_keys(owner.secret_key())
    assert isinstance(public.galois_keys(), GaloisKeys)
    near(x.sum().decrypt(owner.secret_key()), [3])
    near((x @ [[1, 2], [3, 4]]).decrypt(owner.secret_key()), [7, 10], 0.5)
    with pytest.raises(InvalidCiphertext, match="give the context's"):
        x.decrypt(small().secret_key())


def test_make_context_public(owner: Any) -> None:
    own = owner.copy()
    secret = own.secret_key()
    x = ts.ckks_vector(own, [1.0, 2.0])
    own.make_context_public(generate_galois_keys=True)
    own.make_context_public()
    assert own.is_public()
    assert own.has_galois_keys()
    assert own.has_relin_keys()
    assert owner.is_private()
    near((x * x).sum().decrypt(secret), [5])
    assert ts.context_from(own.serialize(save_secret_key=True)).is_public()
    with pytest.raises(ValueError, match="not supported for symmetric"):
        small(encryption_type=SYMMETRIC).make_context_public()


@pytest.mark.parametrize("symmetric", [False, True])
def test_private_bytes(symmetric: bool) -> None:
    own = small(encryption_type=SYMMETRIC) if symmetric else small()
    own.generate_galois_keys()
    own.auto_rescale = False
    x = ts.ckks_vector(own, [1.0, 2.0])
    back = ts.context_from(own.serialize(save_secret_key=True))
    assert back.is_private()
    assert back.has_galois_keys()
    assert not back.auto_rescale
    near(ts.ckks_vector_from(back, x.serialize()).sum().decrypt(), [3])
    near(ts.ckks_vector_from(own, ts.ckks_vector(back, [4.0]).serialize()).decrypt(), [4])
    bare = ts.context_from(own.serialize(save_secret_key=True, save_galois_keys=False, save_relin_keys=False))
    assert not bare.has_galois_keys()
    assert not bare.has_relin_keys()


def test_without_public_key(owner: Any) -> None:
    data = ts.ckks_vector(owner, [1.0, 2.0]).serialize()
    public = ts.context_from(owner.serialize(save_public_key=False, save_relin_keys=False))
    assert (public.has_public_key(), public.has_relin_keys()) == (False, False)
    x = ts.ckks_vector_from(public, data)
    near((x + 1).decrypt(owner.secret_key()), [2, 3])
    for call, message in [
        (lambda: ts.ckks_vector(public, [1.0]), "doesn't support encryption"),
        (public.public_key, "without its public key"),
        (lambda: x * x, "doesn't hold relinearization keys"),
        (public.relin_keys, "doesn't hold relinearization keys"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    evaluator = ts.context_from(small(encryption_type=SYMMETRIC).serialize())
    with pytest.raises(ValueError, match="doesn't support encryption"):
        ts.ckks_vector(evaluator, [1.0])
    for question in (evaluator.has_public_key, evaluator.public_key):
        with pytest.raises(ValueError, match="not supported for symmetric encryption"):
            question()


def test_secret_stays(owner: Any) -> None:
    """Neither `serialize` nor a pickle has the secret key unless asked for."""
    seed = owner.secret_key().data.to_seed()
    assert seed in owner.serialize(save_secret_key=True)
    assert seed not in owner.serialize()
    assert seed not in pickled(owner)
    assert seed not in pickled(ts.ckks_vector(owner, [1.0]))
    assert "secret" not in repr(owner.secret_key().data).lower() or seed.hex() not in repr(
        owner.secret_key().data
    )


def test_pickles(owner: Any) -> None:
    x = ts.ckks_vector(owner, [1.0, 2.0])
    public = unpickled(pickled(owner))
    assert public.is_public()
    lazy = unpickled(pickled([x]))[0]
    with pytest.raises(ValueError, match="missing context"):
        lazy + 1
    twin = unpickled(pickled(lazy))
    lazy.link_context(public)
    near((lazy * 2).decrypt(owner.secret_key()), [2, 4])
    twin.link_context(owner)
    near(twin.decrypt(), [1, 2])
    tensor = unpickled(pickled(ts.ckks_tensor(owner, [[1.0, 2.0]])))
    tensor.link_context(owner)
    near(tensor.decrypt().tolist(), [[1, 2]])
    plain = unpickled(pickled(ts.plain_tensor([1, 2])))
    assert plain.tolist() == [1, 2]


def test_copies(owner: Any) -> None:
    x = ts.ckks_vector(owner, [1.0])
    for twin in (copy.copy(x), copy.deepcopy([x])[0], x.copy()):
        twin.add_(1)
        near(twin.decrypt(), [2])
        assert twin.context() is owner
    near(x.decrypt(), [1])
    other = copy.deepcopy(owner)
    other.auto_relin = False
    assert owner.auto_relin
    near((ts.ckks_vector(other, [2.0]) + x).decrypt(), [3])


def test_damaged_bytes(owner: Any) -> None:
    x = ts.ckks_vector(owner, [1.0, 2.0])
    for good, read in [
        (x.serialize(), lambda data: ts.ckks_vector_from(owner, data)),
        (owner.serialize(), ts.context_from),
        (owner.serialize(save_secret_key=True), ts.context_from),
    ]:
        for bad in (b"", b"abc", good[:-1], good + b"\0", good[4:]):
            with pytest.raises(CorruptData) as caught:
                read(bad)
            assert isinstance(caught.value, ValueError)
        for at in (5, 7, 9, 20, len(good) // 2, len(good) - 1):
            bad = bytearray(good)
            bad[at] ^= 1
            with pytest.raises(CorruptData):
                read(bytes(bad))
    for call in (
        lambda: ts.ckks_vector_from(owner, "abc"),
        lambda: ts.lazy_ckks_vector_from(3),
        lambda: ts.context_from("a"),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(CorruptData, match="format is its own"):
        ts.lazy_ckks_vector_from(b"\x0a\x02\x10").link_context(owner)
    with pytest.raises(InvalidCiphertext):
        ts.ckks_vector_from(small(), x.serialize())


def test_wrong_headers(owner: Any) -> None:
    """A vector whose header tells more numbers than its ciphertexts have is refused, with a right checksum too."""
    body = bytearray(ts.ckks_vector(owner, [1.0]).serialize()[:-4])
    for offset, layout, value in [
        (12, "<Q", 5000),
        (12, "<Q", 0),
        (8, "<I", 0),
        (8, "<I", 1 << 20),
        (6, "<H", 1),
    ]:
        bad = body[:]
        struct.pack_into(layout, bad, offset, value)
        with pytest.raises(CorruptData):
            ts.ckks_vector_from(owner, bytes(bad) + struct.pack("<I", zlib.crc32(bad)))


def test_sizes_of_bytes(owner: Any) -> None:
    """The private side's ciphertexts are half seeds."""
    public = ts.context_from(owner.serialize())
    fresh, other = ts.ckks_vector(owner, [1.0]).serialize(), ts.ckks_vector(public, [1.0]).serialize()
    assert len(fresh) < 4096 * 8 + 400  # N numbers of 5 and 3 bytes
    assert 1.9 < len(other) / len(fresh) < 2
