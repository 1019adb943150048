"""The application that the commands belong to, and how it ends."""

from __future__ import annotations

import logging
import warnings
from typing import Annotated, Any

import typer
from rich.logging import RichHandler
from typer.core import TyperGroup

import animalclef
from animalclef.cli.options import err, out, say, tolerate_any_console
from animalclef.errors import AnimalClefError, printable, shortened
from animalclef.runtime.output_guard import forget_inputs

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Commands that an interrupt ends with a sentence (Typer itself ends them without a word)."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print("Interrupted. What was finished is kept; the same command goes on from there.", soft_wrap=True)
            raise SystemExit(130) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which individual animal is on this photograph, or is it somebody new?\n\n"
    "Start with: animalclef demo DIR, then animalclef predict --data DIR --out submission.csv.",
)


def main() -> None:
    """Run the command line; what the user can mend is one sentence and exit status 2."""
    tolerate_any_console()
    forget_inputs()
    try:
        app(standalone_mode=True)
    except AnimalClefError as error:
        say("error:", "bold red", str(error))
        raise SystemExit(2) from None
    except MemoryError:
        say("error:", "bold red", "this machine has not enough memory for it. Use smaller settings or fewer workers.")
        raise SystemExit(2) from None
    except OSError as error:
        say("error:", "bold red", shortened(f"{error.filename or 'a file'}: {error.strerror or error}."))
        raise SystemExit(2) from None


class _Escaped(logging.Formatter):
    """Log lines without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"animalclef {animalclef.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", is_eager=True, callback=_show_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more about each step.")] = False,
) -> None:
    warnings.filterwarnings("ignore", module="PIL")  # a photograph is usable, or set aside with its reason
    level = logging.INFO if verbose else logging.WARNING
    handler = RichHandler(console=err, show_path=False, show_time=False, markup=False)
    handler.setFormatter(_Escaped("%(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
