# SPDX-License-Identifier: Apache-2.0
"""The rows of the nodes of a growing tree, which all parties keep alike, and the order in which sums are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from crypsis.mpc.learning.boosting import compiled

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int32]


class Nodes:
    """Nodes by number: 0 is the root, the children of a split get the next two, left first.

    sampled: bool[n], the rows whose gradients are summed; others only find their leaves.
    """

    def __init__(self, n_rows: int, sampled: Bools | None = None) -> None:
        self._order = np.arange(n_rows, dtype=np.int32)
        self._spans = [(0, n_rows)]
        self._spare = np.empty(n_rows, dtype=np.int32)
        self._sampled = sampled
        self.level: list[int] = [0]
        self.parent: list[int] = [-1]

    def __len__(self) -> int:
        return len(self._spans)

    def rows(self, node: int) -> Rows:
        """Its rows in rising order; a view, until the node is split."""
        begin, end = self._spans[node]
        return self._order[begin:end]

    def summed(self, node: int) -> Rows:
        """Its rows whose gradients are summed."""
        rows = self.rows(node)
        return rows if self._sampled is None else rows[self._sampled[rows]]

    def split(self, nodes: Sequence[int], left: Bools) -> None:
        """Splits nodes of the level, those of their rows with left[row] to the left: their children are the new
        level."""
        self.level = []
        for node in nodes:
            begin, end = self._spans[node]
            middle = int(compiled.split_rows(self._order, begin, end, left, self._spare))
            self.level += [len(self), len(self) + 1]
            self._spans += [(begin, middle), (middle, end)]
            self.parent += [node, node]

    def plan(self, open_nodes: Sequence[int]) -> tuple[list[int], list[int], dict[int, int]]:
        """(nodes whose sums are made from rows, nodes whose sums are the parent's less the sibling's, sibling).

        open_nodes: those of the level that need sums. Of two siblings the one with fewer rows is summed, the left one
        of equals, also where only the other is open.
        """
        if self.level == [0]:
            return list(open_nodes), [], {}
        sibling = dict(zip(self.level[::2], self.level[1::2], strict=True))
        sibling |= {b: a for a, b in sibling.items()}
        size = {node: len(self.summed(node)) for node in self.level}
        derived = [node for node in open_nodes if (size[node], node) > (size[sibling[node]], sibling[node])]
        wanted = set(open_nodes) - set(derived) | {sibling[node] for node in derived}
        return [node for node in self.level if node in wanted], derived, sibling


def chunks(nodes: Sequence[int], n_ciphertexts: int) -> list[list[int]]:
    """Nodes in parts of about a thousand ciphertexts, so that one party works on one part while another makes the
    next. n_ciphertexts: of a node."""
    step = max(1, 1024 // max(1, n_ciphertexts))
    return [list(nodes[i : i + step]) for i in range(0, len(nodes), step)]
