# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from postgres_cases import SETUP


@pytest.fixture(scope="session")
def shop(postgres):
    """The server with the tables of `postgres_cases`."""
    postgres.run(SETUP)
    return postgres
