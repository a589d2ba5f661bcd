# SPDX-License-Identifier: Apache-2.0
"""Punctured trees, small-field VOLE and its hash as the definitions say: bit by bit, with Python integers.

Standard library only. A block is 16 bytes, a stream of bits an integer whose bit i is position i.
"""

from __future__ import annotations

from reference import aes, bitmatrix

# The fractional part of pi in hexadecimal, cut into keys: the first is for hashes, the next two for trees.
PI = "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89452821e638d01377be5466cf34e90c6c"
HASH_KEY, LEFT_KEY, RIGHT_KEY = (bytes.fromhex(PI[32 * i : 32 * i + 32]) for i in range(3))


def xor_all(blocks: list[bytes]) -> bytes:
    total = bytes(16)
    for block in blocks:
        total = aes.xor(total, block)
    return total


def children(node: bytes) -> list[bytes]:
    return [aes.xor(aes.encrypt(key, node), node) for key in (LEFT_KEY, RIGHT_KEY)]


def expand_tree(seed: bytes, depth: int) -> tuple[list[bytes], list[list[bytes]]]:
    """Leaves from left to right, and of each level the sums of its left and of its right nodes."""
    level, sums = [seed], []
    for _ in range(depth):
        level = [child for node in level for child in children(node)]
        sums.append([xor_all(level[0::2]), xor_all(level[1::2])])
    return level, sums


def known_sums(sums: list[list[bytes]], position: int) -> list[bytes]:
    """What the holder of the tree punctured at `position` gets."""
    depth = len(sums)
    return [sums[i][1 - (position >> (depth - 1 - i) & 1)] for i in range(depth)]


def reconstruct_tree(known: list[bytes], position: int) -> list[bytes]:
    """All leaves but the one at `position`, which is zero, from the sums alone."""
    depth = len(known)
    level: list[bytes | None] = [None]
    for i, total in enumerate(known):
        below: list[bytes | None] = []
        for node in level:
            below += [None, None] if node is None else children(node)
        path = position >> (depth - 1 - i)
        side = 1 - path % 2
        others = [node for j, node in enumerate(below) if j % 2 == side and node is not None]
        below[path ^ 1] = aes.xor(total, xor_all(others))
        level = below
    return [bytes(16) if node is None else node for node in level]


def tree_depths(k: int) -> list[int]:
    depths = [k] * (128 // k)
    return depths + ([128 % k] if 128 % k else [])


def stream(leaf: bytes, first_block: int, n_blocks: int) -> int:
    blocks = [aes.encrypt(leaf, (first_block + b).to_bytes(16, "little")) for b in range(n_blocks)]
    return int.from_bytes(b"".join(blocks), "little")


def full(
    k: int, leaves: list[bytes], first_block: int, n_blocks: int, choices: int | None
) -> tuple[int, list[int], list[int]]:
    """(choices, corrections of the trees that need one, 128 columns of t)."""
    columns, totals, at = [], [], 0
    for depth in tree_depths(k):
        streams = [stream(leaf, first_block, n_blocks) for leaf in leaves[at : at + (1 << depth)]]
        at += 1 << depth
        total = 0
        for bits in streams:
            total ^= bits
        totals.append(total)
        for j in range(depth):
            column = 0
            for x, bits in enumerate(streams):
                if x >> j & 1:
                    column ^= bits
            columns.append(column)
    if choices is None:
        return totals[0], [total ^ totals[0] for total in totals[1:]], columns
    return choices, [total ^ choices for total in totals], columns


def punctured(
    k: int,
    leaves: list[bytes],
    delta: int,
    first_block: int,
    n_blocks: int,
    corrections: list[int],
) -> list[int]:
    """128 columns of q. Leaf Delta_i of tree i is not looked at: it counts with weight Delta_i ^ Delta_i = 0."""
    columns, at = [], 0
    depths = tree_depths(k)
    if len(corrections) < len(depths):
        corrections = [0, *corrections]
    for depth, correction in zip(depths, corrections, strict=True):
        part = delta >> len(columns) & ((1 << depth) - 1)
        for j in range(depth):
            column = correction if part >> j & 1 else 0
            for x in range(1 << depth):
                if (x ^ part) >> j & 1:
                    column ^= stream(leaves[at + x], first_block, n_blocks)
            columns.append(column)
        at += 1 << depth
    return columns


def rows(columns: list[int], n_blocks: int) -> list[bytes]:
    """Position i as 16 bytes: bit j of it is bit i of column j."""
    return [
        sum((column >> i & 1) << j for j, column in enumerate(columns)).to_bytes(16, "little")
        for i in range(128 * n_blocks)
    ]


def in_tiles(corrections: list[int], n_blocks: int) -> bytes:
    """Rows of corrections as they travel: tiles of 32 blocks, in a tile row by row."""
    data = [correction.to_bytes(16 * n_blocks, "little") for correction in corrections]
    tiles = range(0, 16 * n_blocks, 512)
    return b"".join(row[at : at + 512] for at in tiles for row in data)


def hash_column(challenge: bytes, column: int, n_blocks: int) -> bytes:
    """Sum of AES(challenge, b) times word b, the last word as it is."""
    words = [column >> (128 * b) & ((1 << 128) - 1) for b in range(n_blocks)]
    total = words.pop()
    for b, word in enumerate(words):
        coefficient = int.from_bytes(aes.encrypt(challenge, b.to_bytes(16, "little")), "little")
        total ^= bitmatrix.multiply(coefficient, word, 128)
    return total.to_bytes(16, "little")


def random_key(row: bytes, tweak: int | None) -> bytes:
    return aes.mmo(HASH_KEY, row) if tweak is None else aes.tmmo(HASH_KEY, row, tweak)
