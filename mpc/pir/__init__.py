# SPDX-License-Identifier: Apache-2.0
"""Private queries: asking a list that another party owns without saying what is asked.

`ot_query` looks identifiers up with oblivious transfer; `job` runs it on tables.
"""
