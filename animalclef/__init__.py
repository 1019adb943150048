"""Individual animal re-identification at competition strength."""

__version__ = "0.2.0"
