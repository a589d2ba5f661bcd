# SPDX-License-Identifier: Apache-2.0
"""Oblivious transfer: the sender has two keys for each item, the receiver gets the one it chose, and the sender does
not learn which.

`base` makes a few hundred from a group; everything else extends those.
"""
