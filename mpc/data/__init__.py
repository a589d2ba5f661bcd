# SPDX-License-Identifier: Apache-2.0
"""Tables in and out of a protocol: sources, key digests, joins by row id, and output files.

    source = open_source("customers/*.parquet")
    keys = digest_keys(source, [KeySpec("id")])           # 16-byte digests and row ids; the payload stays on
    disk
    ...                                                   # a protocol says which of keys.digests the peer has
                                                          too
    plan = plan_join(keys, matched, peer_counts)
    write_output(source, plan, "joined.parquet")

`docs/data.md` says what is accepted and how keys are encoded.
"""

from crypsis.mpc.data.csv_files import CsvOptions
from crypsis.mpc.data.database import DatabaseSource, open_database
from crypsis.mpc.data.digests import DigestStream, KeySpec, digest_stream, row_digests
from crypsis.mpc.data.encode import KeyType
from crypsis.mpc.data.gather import gather_table
from crypsis.mpc.data.grouping import KeyTable
from crypsis.mpc.data.joins import (
    JoinPlan,
    count_pairs,
    count_unmatched,
    join_size,
    matched_pairs,
    matched_rows,
    pair_rows,
    plan_join,
    select_rows,
    unmatched_rows,
)
from crypsis.mpc.data.keys import digest_keys
from crypsis.mpc.data.opening import open_source
from crypsis.mpc.data.output import OutputInfo, check_output, write_output
from crypsis.mpc.data.plans import FilePlan, IndexFile, RowMask, write_index
from crypsis.mpc.data.sources import Source, TableSource

__all__ = [
    "CsvOptions",
    "DatabaseSource",
    "DigestStream",
    "FilePlan",
    "IndexFile",
    "JoinPlan",
    "KeySpec",
    "KeyTable",
    "KeyType",
    "OutputInfo",
    "RowMask",
    "Source",
    "TableSource",
    "check_output",
    "count_pairs",
    "count_unmatched",
    "digest_keys",
    "digest_stream",
    "gather_table",
    "join_size",
    "matched_pairs",
    "matched_rows",
    "open_database",
    "open_source",
    "pair_rows",
    "plan_join",
    "row_digests",
    "select_rows",
    "unmatched_rows",
    "write_index",
    "write_output",
]
