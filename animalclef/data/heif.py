"""HEIC photographs, as phones write them. Pillow reads AVIF itself; HEIC needs a plugin.

`pi-heif` only decodes. It is preferred to `pillow-heif`, whose wheels carry an encoder under the GPL.
"""

from __future__ import annotations

import importlib
from functools import cache

__all__ = ["is_heif", "register_heif"]

_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")


@cache
def register_heif() -> bool:
    """Teach Pillow to read HEIC, once; return whether a plugin is installed."""
    for name in ("pi_heif", "pillow_heif"):
        try:
            importlib.import_module(name).register_heif_opener()
        except (ImportError, OSError):
            continue
        return True
    return False


def is_heif(content: bytes) -> bool:
    """Return whether bytes begin as a HEIF file."""
    return content[4:8] == b"ftyp" and content[8:12] in _BRANDS
