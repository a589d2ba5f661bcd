# SPDX-License-Identifier: Apache-2.0
"""bgv: a matrix in polynomials, products with it and its transposed, of every shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgv_cases import ODD, SMALL, TINY, ints, values
from crypsis import bgv

SECRETS = {parameters: bgv.SecretKey.generate(parameters) for parameters in (TINY, SMALL, ODD)}


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_matrix_times_vector_both_ways(data: st.DataObject) -> None:
    parameters = data.draw(st.sampled_from([TINY, SMALL, ODD]))
    rows, columns = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 20))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    secret, t = SECRETS[parameters], 1 << parameters.plain_bits
    public = secret.public_key
    layout = bgv.Layout(parameters, rows, columns)
    matrix = rng.integers(-(2**15), 2**15, (rows, columns), np.int64).astype(np.int16)
    if data.draw(st.booleans()):
        matrix[:] = -(2**15)
    plains = layout.plains(matrix)
    assert plains.shape == (layout.pieces, layout.groups)
    w, e = values(rng, parameters, columns), values(rng, parameters, rows)

    products = bgv.matmul(plains, secret.encrypt(layout.spread(w)))
    masks = values(rng, parameters, layout.pieces, len(layout.forward_coefficients))
    bits = layout.forward_noise_bits(2**15, ciphertexts=layout.pieces)
    hidden = bgv.hide(products, public, masks, bits, coefficients=layout.forward_coefficients)
    wanted = (matrix.astype(object) @ ints(w) + ints(layout.join(masks))) % t
    assert (ints(layout.join(secret.decrypt(hidden))) % t == wanted).all()

    products = bgv.matmul(plains.transposed().reversed(), secret.encrypt(layout.cut(e)))
    masks = values(rng, parameters, layout.groups, len(layout.backward_coefficients))
    bits = layout.backward_noise_bits(2**15, ciphertexts=layout.groups)
    hidden = bgv.hide(products, public, masks, bits, coefficients=layout.backward_coefficients)
    wanted = (matrix.astype(object).T @ ints(e) + ints(layout.gather(masks))) % t
    assert (ints(layout.gather(secret.decrypt(hidden))) % t == wanted).all()


def test_shapes() -> None:
    layout = bgv.Layout(bgv.RING128, 1_000_000, 20)
    assert (layout.pieces, layout.groups, layout.block, layout.share) == (123, 20, 8192, 1)
    assert layout.forward_coefficients == range(8192)
    assert list(layout.backward_coefficients) == [0]
    layout = bgv.Layout(bgv.RING128, 4096, 20)
    assert (layout.pieces, layout.groups, layout.block, layout.share) == (1, 10, 4096, 2)
    assert layout.forward_coefficients == range(4096)
    assert list(layout.backward_coefficients) == [0, 4096]
    layout = bgv.Layout(bgv.RING128, 3000, 1)
    assert (layout.groups, layout.block, layout.share) == (1, 4096, 1)
    assert bgv.Layout(bgv.RING128, 1, 20).groups == 1


def test_wrong_arguments() -> None:
    layout = bgv.Layout(TINY, 20, 3)
    with pytest.raises(ValueError, match=r"matrix has shape \(3, 20\): give \[20, 3\]"):
        layout.plains(np.zeros((3, 20), np.int16))
    with pytest.raises(TypeError, match="matrix is an array of float64"):
        layout.plains(np.zeros((20, 3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"vector has shape \(20, 2\): give uint64\[3, 2\]"):
        layout.spread(np.zeros((20, 2), np.uint64))
    with pytest.raises(ValueError, match=r"vector has shape \(20,\)"):
        layout.cut(np.zeros(20, np.uint64))
    with pytest.raises(ValueError, match=r"values has shape \(1, 16, 2\): give \[2, 16, limbs\]"):
        layout.join(np.zeros((1, 16, 2), np.uint64))
    with pytest.raises(ValueError, match=r"values has shape \(3, 2, 2\): give \[3, 1, limbs\]"):
        layout.gather(np.zeros((3, 2, 2), np.uint64))
    with pytest.raises(ValueError, match="rows is 0"):
        bgv.Layout(TINY, 0, 3)
    with pytest.raises(TypeError, match="parameters is int"):
        bgv.Layout(13, 1, 3)  # type: ignore[arg-type]
