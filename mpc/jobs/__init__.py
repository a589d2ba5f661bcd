# SPDX-License-Identifier: Apache-2.0
"""What every two-party job between files has: its configuration, its connection, the places it writes to."""
