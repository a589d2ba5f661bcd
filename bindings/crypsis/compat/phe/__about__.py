# SPDX-License-Identifier: Apache-2.0
"""What `phe.__about__` tells: the version is that of the interface, not of Crypsis."""

__title__ = "phe"
__summary__ = "The interface of python-paillier 1.5 on the kernels of Crypsis"
__uri__ = "https://pypi.org/project/crypsis/"
__version__ = "1.5.0"
__author__ = "The Crypsis authors"
__email__ = ""
__license__ = "Apache-2.0"
__copyright__ = "The Crypsis authors"
