"""Define the application, its panels of commands, and how errors end it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import typer
from rich.logging import RichHandler
from typer import rich_utils
from typer.core import TyperGroup

import animalclef
from animalclef.cli.printing import err, print_lines, say, tell, tolerate_any_console
from animalclef.errors import AnimalClefError, ConfigError, printable, shortened
from animalclef.runtime.output_guard import forget_inputs

__all__ = ["PANELS", "app", "main"]


PANELS = {
    "Start": ("demo", "inspect", "convert", "config", "doctor"),
    "Predict": ("predict", "cluster", "validate", "weights"),
    "Look": ("report", "show", "score", "evaluate", "diff", "ledger"),
    "Grow": ("review", "catalogue"),
    "Improve": ("boxes", "mask", "label-views", "tune", "ensemble"),
    "Train": ("train", "train-matcher", "train-segmenter", "evaluate-embedder", "study"),
}
_MAY_BE_EMPTY = ("--columns", "--note", "--who", "--why")


class _Commands(TyperGroup):
    """Commands in panels, in a useful order; an interrupt ends with a sentence (Typer alone prints nothing)."""

    def list_commands(self, ctx: Any) -> list[str]:
        order = [name for names in PANELS.values() for name in names]
        return sorted(super().list_commands(ctx), key=lambda name: order.index(name) if name in order else len(order))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command: Any = super().get_command(ctx, cmd_name)
        if command is not None:
            command.rich_help_panel = next((panel for panel, names in PANELS.items() if cmd_name in names), "Other")
            _shorten_types(command, ctx)
        return command

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            _refuse_empty(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            tell("Interrupted. Finished work is kept; run the same command again to resume.")
            raise SystemExit(130) from None
        except Exception as error:
            _tell_where_a_run_goes(error)
            raise


def _tell_where_a_run_goes(error: Any) -> None:
    """Add to a usage error that a command takes a run folder as RUN or as --run, where the other way was tried."""
    command: Any = getattr(getattr(error, "ctx", None), "command", None)
    takes = [name for option in getattr(command, "params", []) for name in option.opts]
    if getattr(error, "option_name", None) == "--run" and {"run", "runs"} & set(takes):
        error.possibilities = None
        error.message = f"{error.message.rstrip('.')}. Give the folder alone: animalclef {command.name} RUN."
    elif "unexpected extra argument" in getattr(error, "message", "") and "--run" in takes:
        error.message += ". A run folder is given as --run RUN."


def _shorten_types(command: Any, ctx: Any) -> None:
    """Write VALUE in place of the type of each option and nothing for a switch, so that help has room for its texts."""
    for one in getattr(command, "commands", {}).values():
        _shorten_types(one, ctx)
    for option in (*command.params, command.get_help_option(ctx)):
        if option.param_type_name == "option" and option.metavar is None:
            option.metavar = "" if option.is_flag else "VALUE"


rich_utils.RANGE_STRING = ""  # a value out of range is told with its range
app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Recognise individual animals in photographs, and find those that are not yet in the database.\n\n"
    "Start with `animalclef demo DIR`, then `animalclef predict --data DIR --out submission.csv`.",
)


def main() -> None:
    """Run the command line; an error that the user can fix is one sentence and exit status 2."""
    tolerate_any_console()
    forget_inputs()
    try:
        app(standalone_mode=True)
    except AnimalClefError as error:
        sentence = str(error)
    except MemoryError:
        sentence = "this machine has not enough memory for it. Use smaller settings or fewer workers."
    except OSError as error:
        sentence = shortened(f"{error.filename or 'a file'}: {error.strerror or error}.")
    say("error:", "bold red", sentence)
    raise SystemExit(2)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` for an empty argument: a variable of a script that is not set, and no current folder."""
    for before, text in pairwise(["", *arguments]):
        option, equals, value = text.partition("=") if text.startswith("--") else (before, "=", text)
        if equals and not value and option not in _MAY_BE_EMPTY:
            what = option if option.startswith("--") else "an argument"
            raise ConfigError(
                f"{what}: the text given is empty. If a script gives a variable here, check that it is set."
            )


class _Escaped(logging.Formatter):
    """Log lines without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _Once(logging.Filter):
    """Drop a line that this command has logged before, such as one about the catalogue for every photograph."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        is_new = text not in self._seen
        self._seen.add(text)
        return is_new


def _show_version(wanted: bool) -> None:
    if wanted:
        print_lines(f"animalclef {animalclef.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", is_eager=True, callback=_show_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print more about each step.")] = False,
) -> None:
    warnings.filterwarnings("ignore", module="PIL")  # a photograph is usable, or skipped with its reason
    level = logging.INFO if verbose else logging.WARNING
    handler = RichHandler(console=err, show_path=False, show_time=False, markup=False)
    handler.setFormatter(_Escaped("%(message)s"))
    handler.addFilter(_Once())
    logging.basicConfig(level=level, handlers=[handler], force=True)
