// SPDX-License-Identifier: Apache-2.0
// The kernels of the slug: everything that csrc/bigint/impl.h asks of a backend, for numbers of LIMBS limbs.
// Launch: blocks of THREADS threads, THREADS / TPI rows a block, as many blocks as rows need, and kStride
// (kSquareStride where numbers are squared) * 4 bytes of dynamic shared memory for each row of a block. `constants`: see
// group.cuh. Unless a kernel is named _vartime, no branch and no address depends on operands and exponents.
#include "bigint/powers.cuh"
#include "bigint/products.cuh"
#include "bigint/runs.cuh"
#include "bigint/tables.cuh"
