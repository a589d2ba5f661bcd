# SPDX-License-Identifier: Apache-2.0
"""What `make gpu-check` measures on a GPU. Cases are functions of a device: the tests run them on the shim."""
