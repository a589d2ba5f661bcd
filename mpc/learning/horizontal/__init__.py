# SPDX-License-Identifier: Apache-2.0
"""Sums of model updates of many clients, of which the server sees the sum only, and federated averaging with them."""
