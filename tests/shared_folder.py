"""The folder with real photographs and weights."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["SHARED"]

SHARED = Path(os.environ.get("ANIMALCLEF_SHARED") or Path(__file__).resolve().parents[2] / "shared")
