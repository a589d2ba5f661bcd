# SPDX-License-Identifier: Apache-2.0
"""Preprocessing of two parties with 30 columns each, both in one process over a channel in memory: weight of evidence
and IV of a host's columns, Pearson's correlations between the parties. Okamoto-Uchiyama, 2048 bits.

No peer does either on one machine in comparable form: `the same in the clear` is what NumPy and this library take for
the joined columns.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis import okamoto_uchiyama
from crypsis.mpc.learning import CipherOptions, Frame, Session
from crypsis.mpc.learning.preprocess import WoeEncoder, joint_correlation
from crypsis.mpc.transport import memory_pair

COLUMNS = 30
OPTIONS = CipherOptions(scheme="okamoto-uchiyama", key_bits=2048)


@pytest.fixture(scope="module")
def key() -> okamoto_uchiyama.PrivateKey:
    """The guest's."""
    return okamoto_uchiyama.generate_keypair(2048)[1]


def both(key: Any, guest: Callable[[Session], Any], host: Callable[[Session], Any]) -> tuple[Any, Any, int]:
    """Both results, and the bytes that both sent."""
    left, right = memory_pair("guest", "host")
    results: dict[str, Any] = {}

    def run(role: Any, channel: Any, work: Callable[[Session], Any]) -> None:
        session = Session(role, channel, cipher=OPTIONS)
        session.use_key(key)
        try:
            with channel:
                results[role] = work(session)
        except BaseException as error:
            results[role] = error

    threads = [
        threading.Thread(target=run, args=("guest", left, guest)),
        threading.Thread(target=run, args=("host", right, host)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = sum(channel.stats.payload_bytes_sent for channel in (left, right))
    for result in results.values():
        if isinstance(result, BaseException):
            raise result
    return results["guest"], results["host"], sent


def frames(n: int) -> tuple[Frame, Frame, Frame]:
    """The guest's, the host's, and the joined one."""
    rng = np.random.default_rng(11)
    common = rng.normal(size=(n, 1))
    values = rng.normal(size=(n, 2 * COLUMNS)) + 0.5 * common
    labels = (values[:, ::7].sum(axis=1) + rng.normal(scale=3, size=n) > 2).astype(float)
    names = [f"g{i}" for i in range(COLUMNS)] + [f"h{i}" for i in range(COLUMNS)]
    whole = Frame.from_numpy(values, labels, names=names)
    host = Frame.from_numpy(values[:, COLUMNS:], names=names[COLUMNS:])
    return Frame.from_numpy(values[:, :COLUMNS], labels, names=names[:COLUMNS]), host, whole


def test_woe(compare: Any, size: Callable[[int, int], int], key: Any) -> None:
    n = size(10_000, 100_000)
    guest, host, whole = frames(n)

    def ours() -> Any:
        return both(
            key, lambda s: WoeEncoder().fit(guest, session=s), lambda s: WoeEncoder().fit(host, session=s)
        )

    def check(found: Any, peers: dict[str, Any]) -> None:
        one, other, _ = found
        plain = peers["the same in the clear"]
        assert {**one.iv_, **other.iv_} == plain.iv_
        assert sorted(one.peer_iv_.values()) == sorted(plain.iv_[name] for name in host.names)

    compare(
        f"preprocess/woe/{n} rows x ({COLUMNS} + {COLUMNS})",
        ours,
        items=n,
        unit="rows",
        check=check,
        peers={"the same in the clear": lambda: WoeEncoder().fit(whole)},
        rounds=3,
        extra={"key_bits": 2048, "scheme": "okamoto-uchiyama", "bytes": ours()[2]},
    )


def test_pearson(compare: Any, size: Callable[[int, int], int], key: Any) -> None:
    n = size(5_000, 100_000)
    guest, host, whole = frames(n)

    def ours() -> Any:
        def work(frame: Frame) -> Callable[[Session], Any]:
            return lambda s: joint_correlation(frame, s, share_names=True)

        return both(key, work(guest), work(host))

    def check(found: Any, peers: dict[str, Any]) -> None:
        one = found[0]
        index = [whole.names.index(name.removeprefix("host:")) for name in one.names]
        exact = peers["the same in the clear"][np.ix_(index, index)]
        assert np.abs(one.matrix - exact).max() <= one.error

    compare(
        f"preprocess/pearson/{n} rows x ({COLUMNS} + {COLUMNS})",
        ours,
        items=n,
        unit="rows",
        check=check,
        peers={"the same in the clear": lambda: np.corrcoef(whole.values.T)},
        rounds=3,
        extra={"key_bits": 2048, "scheme": "okamoto-uchiyama", "precision_bits": 12, "bytes": ours()[2]},
    )
