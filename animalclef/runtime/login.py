"""Name the person who signs an answer or a change."""

from __future__ import annotations

import getpass

from animalclef.errors import ConfigError

__all__ = ["login"]


def login(who: str | None) -> str:
    """Return the name that signs an answer or a change: the one given, or that of the login.

    Raises:
        ConfigError: none is given, and this system has no name for the login.

    >>> login("Ada")
    'Ada'
    """
    try:
        return who or getpass.getuser()
    except (KeyError, ImportError, OSError) as error:
        raise ConfigError("--who: this system has no name for your login. Give --who NAME.") from error
