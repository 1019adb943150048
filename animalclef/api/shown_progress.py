"""The argument `progress`: whether, and how, the progress of long work is shown."""

from __future__ import annotations

from typing import Any

from animalclef.runtime.progress import Progress, Silent
from animalclef.runtime.progress_bar import PlainConsole, RichProgress

__all__ = ["ProgressLike", "shown_progress"]

ProgressLike = Progress | bool | None


def shown_progress(given: ProgressLike) -> Progress:
    """Return what shows the progress: the bars of the command line for `True`, nothing for `False` and `None`.

    Raises:
        TypeError: it is something else without a method `task`.

    >>> shown_progress(50)
    Traceback (most recent call last):
    TypeError: progress: expected True, False or an object with a method task(name, total, unit), got int.
    """
    if given is None or given is False:
        return Silent()
    if given is True:
        return RichProgress(PlainConsole(stderr=True))
    showing: Any = given
    if isinstance(given, type) or not callable(getattr(showing, "task", None)):
        kind = type(given).__name__
        raise TypeError(
            f"progress: expected True, False or an object with a method task(name, total, unit), got {kind}."
        )
    return given
