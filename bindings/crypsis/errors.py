# SPDX-License-Identifier: Apache-2.0
"""Every error that is not a plain ValueError or TypeError. Each message names the offending thing and what to do."""


class CrypsisError(Exception):
    """Base of the errors below; `exit_code` is what the `crypsis` command returns for it."""

    exit_code = 1


class BackendUnavailable(CrypsisError):
    """A backend, device or optional package was asked for that cannot run here; the message says what can."""

    exit_code = 3


class DeviceError(BackendUnavailable):
    """A GPU refused work or failed in it; the message names the device."""


class DeviceMemoryError(DeviceError, MemoryError):
    """A GPU's memory is full; the message says how much was asked for and how much is free."""


class ConfigError(CrypsisError, ValueError):
    """A job configuration is wrong, or the two parties' configurations disagree."""

    exit_code = 2


class DataError(CrypsisError):
    """An input or output file cannot be used: missing column, wrong type, unreadable, disk full."""

    exit_code = 4


class CorruptData(DataError):
    """A file or buffer is truncated, damaged or of an unknown version."""


class WrongPassphrase(DataError, ValueError):
    """A private key file does not open with this passphrase."""


class ChannelError(CrypsisError):
    """The peer cannot be reached, went away, or is not who it should be."""

    exit_code = 5


class ProtocolAbort(CrypsisError):
    """The peer sent something the protocol does not allow, or ended the job; nothing was written."""

    exit_code = 6


class InvalidPoint(ProtocolAbort, ValueError):
    """A curve point from outside is not canonical or of low order."""


class NotInvertible(CrypsisError, ValueError):
    """A number shares a factor with the modulus."""


class EncodeFailure(CrypsisError):
    """No table encodes the keys of a bin: keys twice, or the chance that the parameters bound; the message names it."""


class InvalidCiphertext(ProtocolAbort, ValueError):
    """A ciphertext from outside is out of range."""


class LevelError(CrypsisError, ValueError):
    """A CKKS ciphertext has no level left for a product, or not the level that an operation needs."""


class ScaleError(CrypsisError, ValueError):
    """Two CKKS ciphertexts have different scales, or a scale is not the one of its level."""


class MissingKey(CrypsisError, LookupError):
    """An operation needs an evaluation key that the public key does not have; the message says how to make it."""


class PrecisionError(CrypsisError, ValueError):
    """Nothing of a result would be left of its noise."""


class BudgetError(CrypsisError, ValueError):
    """A share of a joint key has answered as many ciphertexts as its noise covers; the message says what to do."""
