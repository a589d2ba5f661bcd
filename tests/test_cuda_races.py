# SPDX-License-Identifier: Apache-2.0
"""Data races between CUDA threads, which ThreadSanitizer sees on the shim whatever the order of turns."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from cuda_on_cpu.build import default_cache
from cuda_on_cpu.launcher import run_sanitized, thread_sanitizer

ROOT = Path(__file__).parent.parent / "kernels"
_, MISSING = thread_sanitizer()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

SOURCE = """
#include "common/types.cuh"
extern "C" __global__ void exchange(u32* out, u32* total, u32 how, u32 partner) {
  __shared__ u32 memory[64];
  CRYPSIS_DYNAMIC_SHARED(u32, more);
  const u32 t = threadIdx.x;
  memory[t] = more[t] = t;  // written
  if (how == 1) __syncthreads();
  if (how == 2) __syncwarp();
  if (how == 3) __ballot_sync(kFullWarp, 1);
  out[blockIdx.x * 64 + t] = memory[t ^ partner] + more[t];  // read
  if (how == 4 && t == 0) total[0] = 1;  // by every block
  if (how == 5) atomicAdd(&total[0], 1u);
  if (how == 6) ++total[0];  // by every thread
}
"""
ACROSS, BESIDE, SELF = 32, 1, 0  # the partner: in the other warp, in the next lane, nobody
# (how, partner), and what is marked so at the lines that the report names; nothing for no report.
CASES = {
    "barrier": (1, ACROSS, ()),
    "no barrier": (0, ACROSS, ("// written", "// read")),
    "warp's barrier": (2, BESIDE, ()),
    "warp's barrier for two warps": (2, ACROSS, ("// written", "// read")),
    "a vote is no barrier": (3, BESIDE, ("// written", "// read")),
    "blocks write the same": (4, SELF, ("// by every block",)),
    "atomics": (5, SELF, ()),
    "no atomics": (6, SELF, ("// by every thread",)),
}

# TSan knows the lines of what was loaded before its first report: one child for each case.
PLANTED = """
import os
import sys
import numpy as np
import test_cuda_races as t
from cuda_on_cpu.launcher import ShimLauncher

for order in ("forward", "reversed"):
    shim = ShimLauncher(sanitize="thread", order=order)
    for name, (how, partner, _) in t.CASES.items():
        print("case", order, name, file=sys.stderr, flush=True)
        child = os.fork()
        if child == 0:
            out, total = np.zeros(192, np.uint32), np.zeros(1, np.uint32)
            numbers = np.uint32(how), np.uint32(partner)
            for _ in range(2):
                shim.launch(t.SOURCE, "exchange", 3, 64, 256, [out, total, *numbers])
            os._exit(0)
        os.waitpid(child, 0)
"""


def test_a_missing_barrier_is_reported_with_its_line() -> None:
    done = run_sanitized(PLANTED, sanitize="thread")
    assert done.returncode == 0, done.stderr[-3000:]
    reports = dict(re.findall(r"^case (.+)\n((?:(?!case ).*\n)*)", done.stderr, flags=re.MULTILINE))
    assert list(reports) == [f"{order} {name}" for order in ("forward", "reversed") for name in CASES]
    for name, (_, _, marks) in CASES.items():
        for order in ("forward", "reversed"):
            report = reports[f"{order} {name}"]
            lines = {i for i, line in enumerate(SOURCE.splitlines(), start=1) if line.endswith(marks)}
            assert {int(line) for line in re.findall(r"exchange \S*source\.cu:(\d+)", report)} == lines, name
            assert ("WARNING: ThreadSanitizer: data race" in report) == bool(marks), report


@pytest.mark.slow
def test_the_shim_is_as_it_was() -> None:
    """The shim's own tests below ThreadSanitizer."""
    done = run_sanitized(CLEAN, sanitize="thread")
    assert (done.returncode, done.stdout, done.stderr) == (0, "clean\n", "")


CLEAN = """
import test_cuda_shim as t
from cuda_on_cpu.launcher import ShimLauncher

for order in ("forward", "reversed"):
    shim = ShimLauncher(sanitize="thread", order=order)
    t.test_votes(shim)
    t.test_indices(shim)
    t.test_atomics(shim)
    t.test_shared_memory_is_poisoned_at_each_block(shim)
    t.test_divergence_ends_the_launch(shim, 4, "has exited")
print("clean")
"""

HEAD = """
import sys
import numpy as np
from crypsis.cuda._registry import registered
from cuda_on_cpu.device import ShimDevice

rng = np.random.default_rng(1)
up = lambda array: device.from_host(array)
random = lambda *shape: up(rng.integers(0, 256, shape, np.uint8))
"""

# Each slug's kernels, of several warps and blocks where their shape allows.
BODIES = {
    "aes": """
from crypsis import aes
x = random(600, 16)
aes.permute(x)
aes.mmo(x)
aes.mmo(x, out=x)
aes.tmmo(x, 5)
aes.ggm_level(x)
aes.ctr_stream(bytes(16), 600, out=x)
aes.ctr_xor(bytes(16), random(9001))
""",
    "bitmatrix": """
from crypsis import bitmatrix
for shape in ((128, 96), (384, 48), (264, 33)):
    bitmatrix.transpose(random(*shape))
bitmatrix.unpack_bits(bitmatrix.pack_bits(up(rng.integers(0, 2, (20, 333), np.uint8))), 333)
bitmatrix.gf128_multiply(random(300, 16), random(300, 16))
bitmatrix.gf64_multiply(random(300, 8), random(16), add=random(300, 16))
bitmatrix.gf128_inner_product(random(9, 700, 16), random(700, 16))
bitmatrix.gf64_inner_product(random(3, 700, 8), random(700, 8))
""",
    "hashing": """
from crypsis import hashing
for algorithm in ("sha256", "blake3", "sm3"):
    hashing.digest(algorithm, random(300, 16))
    lengths = [*range(0, 300, 3), 9000]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    hashing.digest(algorithm, (up(offsets), random(int(offsets[-1]))))
""",
    "curve25519": """
from crypsis import curve25519
points = curve25519.map_to_curve(random(140, 32))
curve25519.scalar_mult(random(140, 32), points)
curve25519.scalar_mult_base(random(140, 32), out=points)
curve25519.check_points(points)
""",
    "okvs": """
from crypsis import okvs
for field in (64, 128):
    chosen, sizes = okvs.parameters(700, 4, field=field), (700, 0, 33, 600)
    starts, n = up(np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)), sum(sizes)
    keys, values = random(n, 16), random(n, chosen.value_bytes)
    fill = random(len(sizes), chosen.columns, chosen.value_bytes)
    table = okvs.encode(keys, starts, values, chosen, seed=bytes(16), fill=fill)
    assert (okvs.decode(keys, starts, table, chosen, seed=bytes(16)).get() == values.get()).all()
""",
    "partition": """
from crypsis import partition
for n, n_bins in ((33, 7), (3100, 7), (300, 2100)):
    rows = rng.integers(0, 256, (n, 16), np.uint8)
    rows[::3, :9] = rows[0, :9]
    partition.by_bin(up(rows), n_bins)
    partition.records(up(rows), n_bins, rows=device.empty(n, np.uint32))
    partition.group(up(rows), n_bins)
    starts = up(np.array([0, n // 3, n // 3, n], np.uint64))
    for alike in (0, 8):
        tags = rng.integers(0, 256, (n, 12), np.uint8)
        tags[:, :alike] = 5
        tags[:, -4:] = np.arange(n, dtype=">u4").view(np.uint8).reshape(n, 4)
        own = up(tags[::-1].copy())
        partition.match(own, starts, partition.sort_tags(own, starts).tags, starts)
""",
    "vole": """
import test_cuda_lpn as lpn
import test_cuda_vole as own
from crypsis.cuda import _vole_lpn, vole as cuda_vole
from crypsis.cuda._tuning import launch_shapes
from crypsis import vole
own.compare_all(device, 2, 9)
shapes = dict(launch_shapes("vole"))
shapes["trees"] = dict(shapes["trees"]) | {"levels": 2, "nodes": 3}
cuda_vole.launch_shapes = lambda slug: shapes
own.compare_all(device, 3, 5)
vole.random_keys(device.from_host(own.blocks(257)), delta=bytes(16), tweak=257)
_vole_lpn._chunk_groups = lambda n_groups: 3  # four chunks of places
lpn.compare(device, 8, 257, 7, [lpn.elements(256), lpn.elements(256, 16, 5)], 128)
bits = device.empty(33, np.uint8)
vole.primal_encode(up(lpn.SEED), up(lpn.elements(1 << 5)), up(lpn.elements(257)), bits=bits)
vole.place_noise(up(np.array([0, 31, 7], np.uint64)), up(lpn.elements(3)), 5, device.empty((3 << 5, 16), np.uint8))
""",
    "ntt": """
from crypsis import ntt
for log_n, n in ((5, 9), (13, 1), (14, 1)):
    basis = ntt.Basis(log_n, ntt.find_primes(log_n, [60, 40]))
    a = np.stack([np.full((n, basis.n), p - 1, np.uint64) for p in basis.primes], axis=1)
    assert (ntt.inverse(ntt.forward(up(a), basis), basis).get() == a).all()
    ntt.automorphism(up(a), 5, basis, ntt_domain=False)
""",
    "rns": """
from crypsis import ntt, rns

def full(basis, *lead):
    return up(np.ascontiguousarray(np.stack([np.full((*lead, basis.n), p - 1, np.uint64) for p in basis.primes], -2)))

for log_n, n, bits, dnum in ((5, 3, [50, 40, 60], 2), (10, 1, [50, 40], 1)):
    primes = ntt.find_primes(log_n, [60, 60, *bits])
    chain, level = rns.Chain(log_n, primes[2:], primes[:2], dnum=dnum), len(bits) - 1
    c, add, key = (full(chain.basis(level), n), full(chain.basis(level), n, 2), full(chain.full(level), dnum, 2))
    for rescale in (False, True):
        rns.switch_key(c, key, chain, level, galois=5, add=add, rescale=rescale)
    rns.rescale(c, chain, level)
""",
    "bigint": """
import cuda_bigint_cases as cases
for bits in (256, 768):  # one thread an element, and two
    for _, check in cases.everything(bits):
        check(device)
""",
}


def with_device(body: str) -> str:
    indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f'{HEAD}with registered(ShimDevice(sys.argv[1], sanitize="thread")) as device:\n{indented}print("clean")\n'


# Races by the letter that change nothing: the lines of each, without what is around them, and why.
HARMLESS = [
    # A chunk's second pass writes the carry that the first passes left there, bit for bit, while the next reads it.
    {
        "if (writes) pending ^= carries[chunk * n_planes];",
        "carries[(chunk + 1) * n_planes] = stop == chunks.n_groups ? beyond : pending;",
    },
    # A maximum is read plainly before the atomic that raises it: an old value costs an atomic, no more.
    {"check_offsets of hashing/hashing.cu"},
    # In place, the last block's places behind the last row read row 0, which another block writes: they store nothing.
    {
        "for (int e = 0; e < kE; ++e) x[e] = in[at.first() + Row::across(e)];",
        "out[at.first() + Row::step<0, kFirstCount>(e)] = reduce_fully<4>(x[e], prime.p);",
    },
    # The same in place here: groups behind the last row read a row that its own group writes.
    {
        "if (TPI * kPart == kLimbs || limb < kLimbs) word = words[limb / 2];",
        "words[limb / 2] = (static_cast<u64>(x[j + 1]) << 32) | x[j];",
    },
    {"load_row", "store_row"},  # the same, where no line is known
]


def reported(stderr: str) -> list[set[str]]:
    """Of each report the kernels' lines that met; one whose history is lost is missing."""
    found = []
    for report in stderr.split("WARNING: ThreadSanitizer: ")[1:]:
        accesses = report.split("  Location is")[0].split("  Thread T")[0]
        # The first frame of each access that is a kernel's: an atomic begins in shim.h.
        stacks = re.split(r"(?:read|write|Read|Write) of size", accesses)[1:]
        places = [re.search(r"#\d+ (.+) kernels/(\S+):(\d+) ", stack) for stack in stacks]
        lines = {line_at(place[1], place[2], int(place[3])) for place in places if place is not None}
        nameless = [re.search(r"#0 <null> <null> \((kernel-\w+\.so)\+(0x\w+)\)", stack) for stack in stacks]
        found.append(lines | {function_at(place[1], int(place[2], 16) - 1) for place in nameless if place})
    return found


def function_at(library: str, offset: int) -> str:
    """The function at a place of a library that was loaded after TSan's first report: it gives no names for those."""
    command = ["addr2line", "-f", "-C", "-e", str(default_cache() / library), hex(offset)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return told.splitlines()[0].replace("(anonymous namespace)::", "").split("(")[0]


def line_at(function: str, file: str, number: int) -> str:
    """The line; or the function, where the number is beyond the file: the preprocessor skips a `#line` below an `#if`
    that does not hold, and counts on."""
    lines = (ROOT / file).read_text().splitlines()
    return lines[number - 1].strip() if number <= len(lines) else f"{function} of {file}"


@pytest.mark.slow
@pytest.mark.parametrize("slug", BODIES)
def test_kernels_have_no_races(slug: str) -> None:
    done = run_sanitized(with_device(BODIES[slug]), "forward", sanitize="thread", timeout=600)
    assert done.stdout == "clean\n", done.stderr[-6000:]
    reports = reported(done.stderr)
    unknown = [lines for lines in reports if not lines or not any(lines <= allowed for allowed in HARMLESS)]
    assert not unknown, (unknown, done.stderr[:6000])
    assert done.returncode == (66 if reports else 0), done.stderr[:6000]
