# SPDX-License-Identifier: Apache-2.0
"""The host's side of one tree.

    guest -> host   ciphertexts of (g, h), one a sampled row
    then, level by level:
    guest -> host   which nodes of the level may be split (none: the tree is done)
    host -> guest   packed sums of all splits of the smaller one of each two siblings of which one may be split
    guest -> host   for each of these nodes: a leaf, split by another party, or which split of the host's
    host -> guest   for each split of its own, a bit a row of the node: left or not
    guest -> host   the same bits of the splits of others

Leaks. The host sees which rows are in which node, and which of them are sampled, but no gradient, gain, leaf value or
label; that a split was worth it, and which nodes end early, tells something of the labels. The guest sees the sums of
`histograms`, and of each split of the host's that is taken the rows that it separates, not the feature or threshold.
Who listens to an encrypted line sees sizes and times of messages.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crypsis import paillier
from crypsis.errors import ProtocolAbort
from crypsis.mpc.learning.boosting import compiled
from crypsis.mpc.learning.boosting.bins import Bins
from crypsis.mpc.learning.boosting.histograms import CipherSums, PairedBins, Table, secret_order
from crypsis.mpc.learning.boosting.nodes import Nodes, chunks
from crypsis.mpc.learning.boosting.packing import Layout
from crypsis.mpc.learning.boosting.splits import Candidates, TreeOptions
from crypsis.mpc.learning.boosting.trees import Record
from crypsis.mpc.learning.ciphers import UnblindedCipherArray
from crypsis.mpc.learning.session import Session

Bools = npt.NDArray[np.bool_]
LEAF, ELSEWHERE = -2, -1
"""What the guest answers of a node that the host does not split; else the number of the split in the host's order."""


class HostGrower:
    """Answers the guest, tree after tree. table: int16[n, features] of all rows, those of the validation behind.

    Sums are made for trees within the `options` that were agreed, and of nodes of two summed rows or more:
    ProtocolAbort where the guest asks for others, which would tell it of single rows.
    """

    def __init__(
        self, session: Session, bins: Bins, table: Table, n_train: int, options: TreeOptions, precision: int
    ) -> None:
        self._session, self._bins, self._table, self._n_train = session, bins, table, n_train
        self._options = options
        with session.meter("native"):
            self.candidates = Candidates.of(bins, table[:n_train])
            self._paired = PairedBins(table, bins.n_bins)
        self._precision = precision
        self._scratch = np.zeros(len(table), dtype=bool)

    def grow(self, sampled: Bools | None) -> list[Record]:
        """One tree; sampled: bool[n], None for all rows but those of the validation. Returns the host's splits, by
        record number of this tree."""
        mask = sampled
        if mask is None and len(self._table) > self._n_train:
            mask = np.arange(len(self._table)) < self._n_train
        nodes = Nodes(len(self._table), mask)
        sums, layout = self._root(mask)
        order = secret_order(self.candidates)
        records: list[Record] = []
        depth = 0
        while True:
            flags = self._session.receive_array(self._session.peer, np.uint8, (len(nodes.level),))
            open_nodes = [node for node, flag in zip(nodes.level, flags.tolist(), strict=True) if flag]
            if not open_nodes:
                return records
            self._check_open(nodes, open_nodes, depth)
            self._send_sums(nodes, sums, open_nodes, order, layout)
            self._split(nodes, open_nodes, order, records)
            if not nodes.level:
                return records
            depth += 1

    def _check_open(self, nodes: Nodes, open_nodes: list[int], depth: int) -> None:
        leaves = (len(nodes) + 1) // 2
        if depth >= self._options.max_depth or leaves >= (self._options.max_leaves or len(nodes) + 1):
            raise ProtocolAbort(f"{self._session.peer} asks for a larger tree than was agreed; ended")
        if any(len(nodes.summed(node)) < 2 for node in open_nodes):
            raise ProtocolAbort(f"{self._session.peer} asks for the sums of a single row; ended")

    def _root(self, mask: Bools | None) -> tuple[CipherSums, Layout]:
        """Receives the gradients, and sums the root's while more of them are under way."""
        session, c = self._session, self.candidates
        rows = np.arange(len(self._table)) if mask is None else np.flatnonzero(mask)
        key = session.peer_key()
        layout = Layout.of(key, self._precision, len(rows))
        position = np.full(len(self._table), -1, dtype=np.int64)
        position[rows] = np.arange(len(rows))
        with session.meter("native"):
            table = self._paired if mask is None else PairedBins(self._table[rows], c.n_bins)
        blocks: list[UnblindedCipherArray] = []
        root: UnblindedCipherArray | None = None
        for part, block in session.received_blocks(session.peer, key, (len(rows),)):
            with session.meter("he"):
                blocks.append(block)
                if c.n_features:
                    found = table.block(part).sums(block, None)
                    root = found if root is None else root + found
        with session.meter("he"):
            whole = paillier.concatenate(blocks)
        return CipherSums(
            whole, root if root is not None else whole, table, position, c, session.meter
        ), layout

    def _send_sums(
        self,
        nodes: Nodes,
        sums: CipherSums,
        open_nodes: list[int],
        order: npt.NDArray[np.int64],
        layout: Layout,
    ) -> None:
        """Sends the sums from which those of every open node follow: the root's, or the smaller siblings'."""
        if not self.candidates.n_sums:
            return
        direct, _, _ = nodes.plan(open_nodes)
        for part in chunks(direct, layout.packing.n_groups(self.candidates.n_sums)):
            packed = sums.packed(sums.of(nodes, part), order, layout)
            self._session.send_ciphertexts(self._session.peer, packed)

    def _split(
        self,
        nodes: Nodes,
        open_nodes: list[int],
        order: npt.NDArray[np.int64],
        records: list[Record],
    ) -> None:
        session, peer, c = self._session, self._session.peer, self.candidates
        choices = session.receive_array(peer, np.int32, (len(open_nodes),)).tolist()
        if any(not LEAF <= choice < c.n_numeric + len(c.blocks) for choice in choices):
            raise ProtocolAbort(f"{peer} chose a split that there is not; ended")
        own = [(node, choice) for node, choice in zip(open_nodes, choices, strict=True) if choice >= 0]
        bits = []
        for node, choice in own:
            if choice < c.n_numeric:
                with session.meter("native"):
                    number = self._first_alike(nodes, node, int(order[choice]))
                    in_left, feature = c.in_left(number), int(c.feature[number])
                records.append(Record.numeric(self._bins, c, number))
            else:
                in_left, feature = self._categories(order, choice - c.n_numeric, records)
            with session.meter("native"):
                rows = nodes.rows(node)
                compiled.goes_left(self._table, rows, feature, in_left, self._scratch)
                bits.append(self._scratch[rows])
        if own:
            session.send_array(peer, np.packbits(np.concatenate(bits)))
        others = [n for n, choice in zip(open_nodes, choices, strict=True) if choice == ELSEWHERE]
        if others:
            rows = np.concatenate([nodes.rows(node) for node in others])
            told = session.receive_array(peer, np.uint8, (-(-len(rows) // 8),))
            self._scratch[rows] = np.unpackbits(told, count=len(rows)).astype(bool)
        with session.meter("native"):
            nodes.split(
                [n for n, choice in zip(open_nodes, choices, strict=True) if choice != LEAF], self._scratch
            )

    def _first_alike(self, nodes: Nodes, node: int, choice: int) -> int:
        """The first split that parts the node's summed rows as `choice` does, so that of these the model does not
        depend on the secret order, which decides between equal gains at the guest. Which other splits have the same
        gain the host is not told, as that would compare the labels of row sets.
        """
        c, rows = self.candidates, nodes.summed(node)
        compiled.goes_left(self._table, rows, int(c.feature[choice]), c.in_left(choice), self._scratch)
        ranges = np.empty((c.n_features, 6), dtype=np.int64)
        compiled.bin_ranges(self._table, rows, self._scratch, c.n_bins, ranges)
        found = c.first_alike(ranges)
        return choice if found is None else found

    def _categories(
        self, order: npt.NDArray[np.int64], block: int, records: list[Record]
    ) -> tuple[Bools, int]:
        """(which bins go left, the feature) of the set of categories that the guest names in this tree's order."""
        c = self.candidates
        begin = c.n_numeric + sum(c.block_sizes[:block])
        size = c.block_sizes[block]
        told = self._session.receive_array(self._session.peer, np.uint8, (size,))
        chosen = np.zeros(size, dtype=bool)
        chosen[order[begin : begin + size] - begin] = told != 0
        in_left = np.zeros(c.n_bins + 1, dtype=bool)
        in_left[c.block_bins(block)] = chosen
        records.append(Record.categorical(self._bins, c, block, chosen))
        return in_left, c.blocks[block]
