# SPDX-License-Identifier: Apache-2.0
"""Where a database is, and messages about it without the password.

libpq reads a password with an unescaped `@`, `/` or `?` as part of the host, the port or the database, and its messages
quote them. So the form of the URI is checked here first, by messages that quote nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from crypsis.errors import DataError

_FORM: Final = "write postgresql://user@host:5432/database"
_URI: Final = re.compile(
    r"postgres(?:ql)?://"
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?"
    r"(?P<hosts>[^@/?#]*)"
    r"(?:/(?P<database>[^@/?#]*))?"
    r"(?:\?(?P<options>[^#]*))?"
)
_HOST: Final = re.compile(r"(?:\[[0-9a-fA-F:.%]+\]|[^:\[\],]*)(?::[0-9]{0,5})?")
_SECRET_OPTIONS: Final = ("password", "sslpassword", "passfile", "oauth_client_secret")
_CONNECT_SECONDS: Final = 30
_SHORTEST_SECRET: Final = 3  # shorter texts occur in any message


@dataclass(frozen=True)
class DatabaseUri:
    """A checked URI. `text` is for the driver only; `place` names server and database without credentials."""

    text: str
    place: str
    _secrets: tuple[str, ...]

    def __repr__(self) -> str:
        return f"DatabaseUri({self.place!r})"

    @classmethod
    def parse(cls, uri: str) -> DatabaseUri:
        """Raises DataError, which quotes no part of `uri`, unless it has the form postgresql://..."""
        if not isinstance(uri, str):
            raise TypeError(f"uri must be a string, not {type(uri).__name__}")
        if not re.match(r"postgres(ql)?://", uri):
            raise DataError(f"the database's URI does not begin with postgresql://; {_FORM}")
        match = _URI.fullmatch(uri)
        if match is None or re.search(r"[\s\x00-\x1f]|%(?![0-9a-fA-F]{2})", uri):
            raise DataError(
                "the database's URI cannot be understood; in user and password, write @ as %40, : as %3A, / as %2F, "
                "? as %3F, # as %23, % as %25 and a space as %20"
            )
        hosts = match["hosts"]
        if not all(_HOST.fullmatch(host) for host in hosts.split(",")):
            raise DataError(f"the host or the port in the database's URI cannot be understood; {_FORM}")
        options = [option.partition("=") for option in (match["options"] or "").split("&")]
        named = {name: unquote(value) for name, _, value in options}
        secrets = [match["password"] or "", *(value for name, _, value in options if name in _SECRET_OPTIONS)]
        if re.search("@", match["options"] or ""):
            raise DataError(
                "the database's URI has an @ after the host; write @ as %40, / as %2F and ? as %3F"
            )
        joint = "&" if match["options"] else ("" if match["options"] == "" else "?")
        extra = "" if "connect_timeout" in named else f"{joint}connect_timeout={_CONNECT_SECONDS}"
        host = hosts or named.get("host", "") or "(default)"
        database = unquote(match["database"] or "") or named.get("dbname", "") or "(default)"
        every = {form for secret in secrets for form in (secret, unquote(secret))}
        longest_first = sorted((s for s in every if len(s) >= _SHORTEST_SECRET), key=len, reverse=True)
        return cls(uri + extra, f"postgresql://{host}/{database}", tuple(longest_first))

    def without_secrets(self, text: str) -> str:
        """`text` with every trace of the password, plain or percent-encoded, replaced."""
        text = text.replace(self.text, self.place)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text
