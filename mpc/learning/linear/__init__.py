# SPDX-License-Identifier: Apache-2.0
"""Vertical logistic and linear regression of two parties, without a coordinator. See docs/learning-linear.md."""

from crypsis.mpc.learning.linear.estimators import LinearRegression, LogisticRegression

__all__ = ["LinearRegression", "LogisticRegression"]
