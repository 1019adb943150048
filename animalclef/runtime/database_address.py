"""Addresses of databases as they may be shown and kept: without a password."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

__all__ = ["shown_address", "without_password"]

_SECRETS = ("password", "sslpassword")


def without_password(address: sa.URL) -> str:
    """Return an address without any password; the user stays.

    >>> without_password(sa.make_url("postgresql://ada:secret@localhost/newts?password=secret&sslmode=require"))
    'postgresql://ada@localhost/newts?sslmode=require'
    """
    query = {name: value for name, value in address.query.items() if name not in _SECRETS}
    names = (address.drivername, address.username, None, address.host, address.port, address.database)
    return str(sa.URL.create(*names, query))


def shown_address(text: str) -> str:
    """Return an address that a user gave as a message may show it.

    >>> shown_address("sqlite:////tmp/studies.db"), shown_address("postgresql//ada:secret@localhost/newts")
    ('sqlite:////tmp/studies.db', '(not an address)')
    """
    try:
        return without_password(sa.make_url(text))
    except (ArgumentError, ValueError):
        return "(not an address)"
