"""What can go wrong in a way the user can mend."""

from __future__ import annotations

__all__ = [
    "AnimalClefError",
    "ConfigError",
    "DataError",
    "LeakError",
    "OutputError",
    "RunError",
    "RunInUseError",
    "StaleArtefactError",
    "SubmissionError",
    "TrainingError",
    "WeightsError",
]


class AnimalClefError(Exception):
    """An error the user can mend: the command line prints its sentence and exits with 2."""


class ConfigError(AnimalClefError):
    """A configuration file or `--set` names something that does not exist or does not fit."""


class DataError(AnimalClefError):
    """The table or the photographs cannot be used as they are."""


class RunError(DataError):
    """A folder holds no finished run, or its files are damaged or of another version."""


class LeakError(AnimalClefError):
    """Something was about to be scored on individuals that it was fitted on."""


class SubmissionError(AnimalClefError):
    """A submission or truth file breaks the competition's rules."""


class StaleArtefactError(AnimalClefError):
    """A file was made with other settings or from other data than this run."""


class RunInUseError(AnimalClefError):
    """Another process is working in the same run folder."""


class OutputError(AnimalClefError):
    """A file could not be written."""


class WeightsError(AnimalClefError):
    """Model weights are absent, or do not fit the model."""


class TrainingError(AnimalClefError):
    """A training cannot go on."""
