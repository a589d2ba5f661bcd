# SPDX-License-Identifier: Apache-2.0
"""The guest's side of one tree: see `host` for the messages, and for what each party learns."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import paillier
from crypsis.errors import ProtocolAbort
from crypsis.mpc.learning.boosting import compiled, packing
from crypsis.mpc.learning.boosting.bins import Bins
from crypsis.mpc.learning.boosting.histograms import KnownSums, PlainSums, Table
from crypsis.mpc.learning.boosting.host import ELSEWHERE, LEAF
from crypsis.mpc.learning.boosting.nodes import Nodes, chunks
from crypsis.mpc.learning.boosting.packing import Ints, Layout, Scaled
from crypsis.mpc.learning.boosting.splits import (
    Best,
    Candidates,
    TreeOptions,
    best_split,
    leaf_value,
    left_sums,
)
from crypsis.mpc.learning.boosting.trees import Record, Tree
from crypsis.mpc.learning.ciphers import row_blocks
from crypsis.mpc.learning.session import Session

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Offer:
    """What a host told of its splits: how many numeric ones, and the sums of each categorical feature."""

    n_numeric: int
    block_sizes: tuple[int, ...]

    @property
    def n_sums(self) -> int:
        return self.n_numeric + sum(self.block_sizes)


@dataclass(eq=False)
class _Growing:
    """Arrays of a tree while it grows, the sums of its nodes, and of each host's splits in them."""

    total: list[Ints]
    theirs: list[KnownSums]
    owner: list[int] = field(default_factory=list)
    record: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)

    def add(self, count: int) -> None:
        self.owner += [-1] * count
        self.record += [-1] * count
        self.left += [0] * count
        self.right += [0] * count
        self.gain += [0.0] * count


class GuestGrower:
    """Grows trees with the hosts. table: int16[n, features] of all rows, those of the validation behind.

    pool: blinding factors made ahead.
    records: the guest's own splits, which `grow` appends to; host_records: how many each host has, by number of host.
    """

    def __init__(
        self,
        session: Session,
        bins: Bins,
        table: Table,
        n_train: int,
        options: TreeOptions,
        precision: int,
        offers: Sequence[Offer],
        pool: paillier.BlindingPool | None = None,
    ) -> None:
        self._session, self._bins, self._table, self._n_train = session, bins, table, n_train
        with session.meter("native"):
            self._candidates = Candidates.of(bins, table[:n_train])
        self._options, self._precision, self._offers, self._pool = options, precision, offers, pool
        self._scratch = np.zeros(len(table), dtype=bool)
        self.records: list[Record] = []
        self.host_records = [0] * len(offers)

    def grow(
        self, g: npt.NDArray[np.float64], h: npt.NDArray[np.float64], sampled: Bools | None
    ) -> tuple[Tree, Nodes]:
        """One tree of gradients float64[n_train], 0 where not sampled; leaf values without learning rate. Also the rows
        of its nodes."""
        n = len(self._table)
        mask = sampled
        if mask is None and n > self._n_train:
            mask = np.arange(n) < self._n_train
        with self._session.meter("native"):
            small = packing.scaled(g, h, self._precision)
            behind = (0, n - self._n_train)
            values = Scaled(np.pad(small.g, behind), np.pad(small.h, behind), small.g_shift, small.h_shift)
        layout = self._send_gradients(values, mask)
        nodes = Nodes(n, mask)
        own = PlainSums(self._table, values, self._candidates.n_bins, self._session.meter)
        growing = _Growing([np.array([values.g.sum(), values.h.sum()])], [KnownSums() for _ in self._offers])
        growing.add(1)
        for depth in range(self._options.max_depth + 1):
            open_nodes = self._open(nodes, growing, values, depth)
            flags = np.array([node in open_nodes for node in nodes.level], dtype=np.uint8)
            for peer in self._session.peers:
                self._session.send_array(peer, flags)
            if not open_nodes:
                break
            best = self._best(nodes, own, values, growing, sorted(open_nodes), layout)
            self._split(nodes, sorted(open_nodes), best, growing, values)
            if not nodes.level:
                break
        return self._finished(growing, values), nodes

    def _send_gradients(self, values: Scaled, mask: Bools | None) -> Layout:
        session, key = self._session, self._session.own_key
        rows = None if mask is None else np.flatnonzero(mask)
        count = len(values.g) if rows is None else len(rows)
        layout = Layout.of(key.public_key, self._precision, count)
        chosen = (
            values if rows is None else Scaled(values.g[rows], values.h[rows], values.g_shift, values.h_shift)
        )
        encrypt: Any = key.encrypt_vartime if session.cipher.vartime else key.encrypt
        if self._pool is not None:
            encrypt = functools.partial(key.encrypt, pool=self._pool)
        for part in row_blocks((count,), key.public_key.modulus.limbs):
            with session.meter("native"):
                plain = packing.pack(chosen, part, layout)
            with session.meter("he"):
                block = encrypt(plain, device=session.cipher.device)
            for peer in session.peers:
                session.send_ciphertexts(peer, block)
        return layout

    def _open(self, nodes: Nodes, growing: _Growing, values: Scaled, depth: int) -> set[int]:
        """Nodes of the level that may have a split: deep, many and heavy enough."""
        leaves = sum(1 for owner in growing.owner if owner < 0)
        if depth == self._options.max_depth or (
            self._options.max_leaves and leaves >= self._options.max_leaves
        ):
            return set()
        least = 2 * self._options.min_child_weight
        heavy = [np.ldexp(float(growing.total[node][1]), -values.h_shift) >= least for node in nodes.level]
        return {
            node
            for node, enough in zip(nodes.level, heavy, strict=True)
            if enough and growing.total[node][1] > 1 and len(nodes.summed(node)) > 1
        }

    def _best(
        self,
        nodes: Nodes,
        own: PlainSums,
        values: Scaled,
        growing: _Growing,
        open_nodes: list[int],
        layout: Layout,
    ) -> dict[int, tuple[int, Best]]:
        """The best split of each node that has one: (owner, split). Of equal gains the guest's, then the first host's;
        the hosts' sums are under way while the guest makes its own."""
        session, c = self._session, self._candidates
        best: dict[int, tuple[int, Best]] = {}

        def offer(owner: int, node: int, sums: Ints, n_numeric: int, sizes: tuple[int, ...]) -> None:
            found = best_split(sums, growing.total[node], n_numeric, sizes, values, self._options)
            if found is not None and (node not in best or found.gain > best[node][1].gain):
                best[node] = (owner, found)

        if c.n_sums:
            level = own.level(nodes, open_nodes)
            with session.meter("native"):
                level = left_sums(level, c)
                for node, sums in zip(open_nodes, level, strict=True):
                    offer(0, node, sums, c.n_numeric, c.block_sizes)
        direct, _, _ = nodes.plan(open_nodes)
        for number, (peer, host) in enumerate(zip(session.peers, self._offers, strict=True), start=1):
            if not host.n_sums:
                continue
            n_groups = layout.packing.n_groups(host.n_sums)
            for part in chunks(direct, n_groups):
                received = session.receive_ciphertexts(
                    peer, session.own_key.public_key, (len(part), n_groups)
                )
                with session.meter("he"):
                    plain = packing.decrypt(session.own_key, received, layout)
                with session.meter("native"):
                    for node, sums in zip(part, packing.unpack(plain, layout, host.n_sums), strict=True):
                        growing.theirs[number - 1].add(node, sums)
            with session.meter("native"):
                known = growing.theirs[number - 1].level(nodes, open_nodes)
                for node, sums in zip(open_nodes, known, strict=True):
                    offer(number, node, sums, host.n_numeric, host.block_sizes)
        return best

    def _split(
        self,
        nodes: Nodes,
        open_nodes: list[int],
        best: dict[int, tuple[int, Best]],
        growing: _Growing,
        values: Scaled,
    ) -> None:
        session = self._session
        chosen = self._within_max_leaves(open_nodes, best, growing)
        for number, peer in enumerate(session.peers, start=1):
            answers, sets = [], []
            for node in open_nodes:
                owner, split = best[node] if node in chosen else (LEAF, None)
                if split is None:
                    answers.append(LEAF)
                elif owner != number:
                    answers.append(ELSEWHERE)
                else:
                    answers.append(split.choice)
                    if split.in_left is not None:
                        sets.append(split.in_left.astype(np.uint8))
            session.send_array(peer, np.array(answers, dtype=np.int32))
            for in_left in sets:
                session.send_array(peer, in_left)
        for node in chosen:
            if best[node][0] == 0:
                self._own_split(nodes, node, best[node][1])
        for number, peer in enumerate(session.peers, start=1):
            theirs = [node for node in chosen if best[node][0] == number]
            if theirs:
                rows = np.concatenate([nodes.rows(node) for node in theirs])
                told = session.receive_array(peer, np.uint8, (-(-len(rows) // 8),))
                self._scratch[rows] = np.unpackbits(told, count=len(rows)).astype(bool)
        with session.meter("native"):
            left_of = {node: self._left_sum(nodes, node, values) for node in chosen}
        for node in chosen:
            self._check(node, best[node], left_of[node], growing)
        for number, peer in enumerate(session.peers, start=1):
            others = [node for node in chosen if best[node][0] != number]
            if others:
                rows = np.concatenate([nodes.rows(node) for node in others])
                session.send_array(peer, np.packbits(self._scratch[rows]))
        self._record(nodes, chosen, best, left_of, growing)

    def _record(
        self,
        nodes: Nodes,
        chosen: list[int],
        best: dict[int, tuple[int, Best]],
        left_of: dict[int, Ints],
        growing: _Growing,
    ) -> None:
        for node in chosen:
            owner, split = best[node]
            growing.left[node], growing.right[node] = len(growing.owner), len(growing.owner) + 1
            growing.owner[node], growing.gain[node] = owner, split.gain
            growing.add(2)
            growing.total += [left_of[node], growing.total[node] - left_of[node]]
            if owner:
                growing.record[node] = self.host_records[owner - 1]
                self.host_records[owner - 1] += 1
            else:
                growing.record[node] = len(self.records)
                self.records.append(self._own_record(split))
        with self._session.meter("native"):
            nodes.split(chosen, self._scratch)

    def _within_max_leaves(
        self, open_nodes: list[int], best: dict[int, tuple[int, Best]], growing: _Growing
    ) -> list[int]:
        """The nodes to split, in order: where max_leaves does not allow all, those of the highest gains."""
        chosen = [node for node in open_nodes if node in best]
        if self._options.max_leaves:
            room = self._options.max_leaves - sum(1 for owner in growing.owner if owner < 0)
            chosen = sorted(sorted(chosen, key=lambda node: (-best[node][1].gain, node))[:room])
        return chosen

    def _own_split(self, nodes: Nodes, node: int, split: Best) -> None:
        c, rows = self._candidates, nodes.rows(node)
        with self._session.meter("native"):
            if split.block is None or split.in_left is None:
                feature, in_left = int(c.feature[split.choice]), c.in_left(split.choice)
            else:
                feature, in_left = c.blocks[split.block], np.zeros(c.n_bins + 1, dtype=bool)
                in_left[c.block_bins(split.block)] = split.in_left
            compiled.goes_left(self._table, rows, feature, in_left, self._scratch)

    def _own_record(self, split: Best) -> Record:
        if split.block is None or split.in_left is None:
            return Record.numeric(self._bins, self._candidates, split.choice)
        return Record.categorical(self._bins, self._candidates, split.block, split.in_left)

    def _left_sum(self, nodes: Nodes, node: int, values: Scaled) -> Ints:
        rows = nodes.rows(node)
        left = rows[self._scratch[rows]]
        return np.array([values.g[left].sum(), values.h[left].sum()])

    def _check(self, node: int, best: tuple[int, Best], left: Ints, growing: _Growing) -> None:
        """That the rows a host sends left have the sums that it sent: it may have exchanged the sides."""
        owner, split = best
        if not (
            np.array_equal(left, split.left_sum) or np.array_equal(growing.total[node] - left, split.left_sum)
        ):
            who = self._session.peers[owner - 1] if owner else "the guest"
            raise ProtocolAbort(f"the rows that {who} parts do not have the sums that it sent; ended")

    def _finished(self, growing: _Growing, values: Scaled) -> Tree:
        leaf = np.array(growing.owner) < 0
        weight = [leaf_value(total, values, self._options) for total in growing.total]
        return Tree(
            owner=np.array(growing.owner, dtype=np.int32),
            record=np.array(growing.record, dtype=np.int32),
            left=np.array(growing.left, dtype=np.int32),
            right=np.array(growing.right, dtype=np.int32),
            value=np.where(leaf, weight, 0.0),
            gain=np.array(growing.gain, dtype=np.float64),
            cover=np.array([np.ldexp(float(t[1]), -values.h_shift) for t in growing.total]),
        )
