# SPDX-License-Identifier: Apache-2.0
"""What is predicted of a job: traffic exactly, the choice of protocol for both parties alike, times that follow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypsis.errors import ConfigError, CorruptData, DataError
from crypsis.mpc.psi import rates
from crypsis.mpc.psi.layout import Layout
from crypsis.mpc.psi.memory import BASE_BYTES, Budget, largest_bin
from crypsis.mpc.psi.plan import ecdh_bytes, recommend, vole_bytes
from crypsis.mpc.psi.predict import Job, predict, vole_work
from crypsis.mpc.psi.rates import BUILT_IN, Calibration, Rates

JOB = Job(n_receiver=10**7, n_sender=10**7)


# The choice


@pytest.mark.parametrize(
    ("receiver", "sender", "bandwidth", "protocol"),
    [
        (10**9, 10**9, None, "vole"),
        (10**6, 10**6, None, "vole"),
        (10**6, 10**6, 10**7, "vole"),  # less traffic too
        (100, 100, None, "ecdh"),
        (1, 0, 10**6, "ecdh"),
        (0, 0, None, "ecdh"),
        (1000, 1000, 10**6, "ecdh"),  # 74 KB against a set-up of hundreds
        (100, 10**7, None, "vole"),
        (10**7, 100, None, "vole"),
    ],
)
def test_the_faster_protocol_is_recommended(
    receiver: int, sender: int, bandwidth: int | None, protocol: str
) -> None:
    chosen, why = recommend(receiver, sender, bandwidth)
    assert chosen == protocol
    assert "\n" not in why
    assert "vole exchanges in about" in why
    assert "ecdh in about" in why
    assert (why.endswith("assumed")) == (bandwidth is None)


def test_malicious_security_leaves_no_choice() -> None:
    assert recommend(1, 1, None, "malicious") == ("vole", "the only one with malicious security")


def test_the_choice_depends_on_nothing_but_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recommend(30_000, 40_000, 10**8)
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    monkeypatch.setenv("CRYPSIS_NUM_THREADS", "1")
    assert recommend(30_000, 40_000, 10**8) == before
    with pytest.raises(ConfigError, match="n_sender"):
        recommend(1, 1 << 32)


# Traffic


def test_bytes_are_those_of_the_layout() -> None:
    layout = Layout(5_000_000, 4_000_000, 3)
    one = layout.vole_bytes(3)
    receiver, sender = vole_bytes(layout, broadcast=True)
    assert receiver == 3 * layout.receiver_bytes(broadcast=True) + one[1]
    assert sender == 3 * layout.sender_bytes() + one[0]
    # Two workers share the bins, each with a session of its own.
    two = vole_bytes(layout, broadcast=True, sessions=2)
    both = [layout.vole_bytes(bins) for bins in (1, 2)]
    assert two[0] == 3 * layout.receiver_bytes(broadcast=True) + both[0][1] + both[1][1]
    assert two[1] == 3 * layout.sender_bytes() + both[0][0] + both[1][0]
    counted = vole_bytes(layout, broadcast=True, n_counted=10)
    assert counted == (receiver + 40, sender + 40)
    assert vole_bytes(layout, sessions=3)[1] == vole_bytes(layout, sessions=7)[1]


def test_bytes_of_ecdh() -> None:
    assert ecdh_bytes(1000, 500) == (32_000, 16_000 + 8 * 1000)
    assert ecdh_bytes(1000, 500, n_told=7) == (32_028, 24_000)
    assert ecdh_bytes(1000, 500, n_told=7, n_counted=7) == (32_056, 24_028)


def test_a_key_costs_what_the_paper_says() -> None:
    """[RR22]: about 1.3 columns of 128 bits from the receiver, one tag of 10 bytes or so from the sender."""
    estimate = predict(replace(JOB, n_receiver=10**9, n_sender=10**9, protocol="vole"), Rates())
    assert 16 * 1.25 < estimate.receiver_sends / 10**9 < 16 * 1.45
    assert 10 < estimate.sender_sends / 10**9 < 14


# Time


def test_stages_follow_and_are_bound_by_something() -> None:
    estimate = predict(JOB, Rates())
    assert [stage.name for stage in estimate.stages] == [
        "check the input",
        "read, hash, spill",
        "start",
        "exchange bins",
        "write output",
    ]
    assert estimate.seconds == sum(stage.seconds for stage in estimate.stages)
    for stage in estimate.stages:
        assert stage.seconds == stage.needs[stage.bound] == max(stage.needs.values())
    assert json.loads(json.dumps(estimate.as_json()))["protocol"] == "vole"


def exchange(job: Job, of: Rates | None = None) -> Any:
    return predict(job, of or Rates()).stages[3]


def test_what_binds_the_exchange() -> None:
    assert exchange(replace(JOB, cores=1, bandwidth=10**11)).bound in ("receiver's cores", "sender's cores")
    assert exchange(replace(JOB, cores=64, bandwidth=10**7, n_sender=10**6)).bound == "line to sender"
    assert exchange(replace(JOB, cores=64, bandwidth=10**7, n_receiver=10**5)).bound == "line to receiver"
    assert exchange(JOB, Rates(disk_read_mb=0.1)).bound == "disk"
    assert exchange(replace(JOB, together=True, cores=1, bandwidth=10**11)).bound == "cores"
    # A long line passes a window a round trip, and no more.
    near, far = (
        exchange(replace(JOB, cores=64, bandwidth=10**11, latency=x)).needs["line to sender"] for x in (0, 1)
    )
    assert far > 100 * near


def test_more_is_slower_and_better_is_faster() -> None:
    base = predict(JOB, Rates()).seconds
    assert predict(replace(JOB, n_receiver=2 * 10**7), Rates()).seconds > base
    assert predict(replace(JOB, cores=1), Rates()).seconds > base
    assert predict(replace(JOB, together=True), Rates()).seconds > base
    assert predict(replace(JOB, security="malicious"), Rates()).seconds > base
    assert predict(replace(JOB, broadcast=True), Rates()).seconds > base
    assert predict(replace(JOB, bandwidth=10**7), Rates()).seconds > base
    assert predict(replace(JOB, matched=0), Rates()).seconds < base
    assert predict(replace(JOB, protocol="ecdh"), Rates()).seconds > 5 * base


def test_one_machine_does_the_work_of_both() -> None:
    apart = exchange(replace(JOB, cores=1, bandwidth=10**12)).needs
    together = exchange(replace(JOB, cores=1, bandwidth=10**12, together=True)).needs
    assert together["cores"] == pytest.approx(apart["receiver's cores"] + apart["sender's cores"])
    layout = Layout(10**7, 10**7, 5)
    assert sum(vole_work(layout, 10**7, 10**7, Rates(), load=False)) < sum(
        vole_work(layout, 10**7, 10**7, Rates())
    )


def test_memory_and_disk() -> None:
    estimate = predict(replace(JOB, n_receiver=10**9, n_sender=10**8, memory=4 << 30), Rates())
    assert estimate.fits
    assert BASE_BYTES < estimate.memory[1] <= estimate.memory[0] <= 4 << 30
    assert 16 * 10**9 < estimate.disk[0] < 26 * 10**9
    assert 16 * 10**8 < estimate.disk[1] < 26 * 10**8
    assert predict(replace(JOB, protocol="ecdh"), Rates()).disk == (0, 0)


def test_memory_that_does_not_do_is_told() -> None:
    """The prediction is what the job takes, not what it may."""
    for fields in ({"bin_rows": 1 << 24}, {"workers": 8}, {"protocol": "ecdh", "n_receiver": 10**8}):
        estimate = predict(replace(JOB, memory=1 << 30, **fields), Rates())  # type: ignore[arg-type]
        assert not estimate.fits
        assert max(estimate.memory) > 1 << 30
        assert estimate.as_json()["fits_memory"] is False
    assert predict(replace(JOB, memory=1 << 30), Rates()).fits


def test_the_prediction_is_by_what_bins_are_refused() -> None:
    layout = Layout(10**7, 10**7, 5)
    budget = Budget(memory=1 << 30, gather=1 << 27, threads=2)
    budget.check(layout, 10**7, writes=True)
    assert largest_bin(10**7, 5) <= budget.chunk_records(layout)
    needed = budget.exchange_bytes(layout, 10**7)
    few = replace(budget, memory=needed - (1 << 20), gather=0)
    with pytest.raises(
        ConfigError, match=r"one worker of 2 threads with bins of up to 20\d+ rows need .* `bin_rows`"
    ):
        few.check(layout, 10**7, writes=True)
    assert few.chunk_records(layout) < largest_bin(10**7, 5)
    with pytest.raises(ConfigError, match="writing the output"):
        replace(budget, gather=1 << 30).check(layout, 10**7, writes=True)
    replace(budget, gather=1 << 30).check(layout, 10**7, writes=False)
    for more in (
        replace(budget, threads=4).exchange_bytes(layout, 10**7),
        replace(budget, workers=2).exchange_bytes(layout, 10**7),
        budget.exchange_bytes(replace(layout, security="malicious"), 10**7),
        budget.exchange_bytes(replace(layout, setting="low-communication"), 10**7),
        budget.exchange_bytes(replace(layout, n_outer=4), 10**7),
    ):
        assert more > needed


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
@pytest.mark.parametrize("protocol", ["vole", "ecdh", "auto"])
def test_small_jobs_have_an_estimate(n: int, protocol: Any) -> None:
    estimate = predict(replace(JOB, n_receiver=n, n_sender=1, protocol=protocol), Rates())
    assert 0 < estimate.seconds < 10


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"n_receiver": -1}, "n_receiver is -1"),
        ({"n_sender": 1 << 32}, "n_sender is 4294967296"),
        ({"cores": 0}, "cores is 0"),
        ({"bandwidth": 0}, "bandwidth is 0"),
        ({"matched": 1.5}, "matched is 1.5"),
        ({"latency": -1.0}, "latency is -1.0"),
        ({"protocol": "ecdh", "security": "malicious"}, "use protocol vole"),
    ],
)
def test_impossible_jobs_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        replace(JOB, **fields)


# Rates


def test_a_calibration_is_read_back(tmp_path: Path) -> None:
    made = Calibration(Rates(encode=1.2345678, start=3.0), "this machine", "some CPU", "2026-11-22")
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(made.as_json()))
    found = rates.load(str(path))
    assert found.rates == Rates(encode=1.235, start=3.0)
    assert (found.cpu, found.date, found.what) == ("some CPU", "2026-11-22", str(path))


def test_the_default_place_and_its_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert rates.default_path() == str(tmp_path / "crypsis" / "rates.json")
    assert rates.load() is BUILT_IN
    (tmp_path / "crypsis").mkdir()
    (tmp_path / "crypsis" / "rates.json").write_text(
        json.dumps(Calibration(Rates(), "", "cpu", "now").as_json())
    )
    assert rates.load().what.startswith("measured on this machine")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # not to be followed [XDG Base Directory Specification]
    monkeypatch.setenv("HOME", "/home/nobody")
    assert rates.default_path() == "/home/nobody/.cache/crypsis/rates.json"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda v: "", "is no calibration"),
        (lambda v: "[]", "is no calibration"),
        (lambda v: "[" * 60_000, "is no calibration"),
        (lambda v: v | {"version": 9}, "is of version 9"),
        (lambda v: v | {"rates": {}}, "has no rate"),
        (lambda v: v | {"rates": v["rates"] | {"other": 1}}, "has no rate 'other'"),
        (lambda v: v | {"rates": v["rates"] | {"tag": 0}}, "tag is 0"),
        (lambda v: v | {"rates": v["rates"] | {"tag": "1"}}, "tag is '1'"),
        (lambda v: v | {"rates": v["rates"] | {"tag": True}}, "tag is True"),
    ],
)
def test_damaged_calibrations_are_named(tmp_path: Path, change: Any, told: str) -> None:
    path = tmp_path / "rates.json"
    value = change(BUILT_IN.as_json())
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(CorruptData, match=f"rates.json: .*{told}.*calibrate"):
        rates.load(str(path))


def test_a_calibration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: no such file; `crypsis bench calibrate --out"):
        rates.load(str(tmp_path / "gone"))
    with pytest.raises(DataError, match="cannot be read"):
        rates.load(str(tmp_path))
