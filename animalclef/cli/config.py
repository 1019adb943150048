"""`config show`: print settings with their descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_json, print_text
from animalclef.errors import ConfigError

if TYPE_CHECKING:
    from animalclef.config.base import Settings

__all__ = ["show_config"]

commands = typer.Typer(no_args_is_help=True, help="Print every setting with its value and its description.")
app.add_typer(commands, name="config")


@commands.command("show")
def show_config(
    command: Annotated[
        str,
        typer.Argument(
            help="The command that the settings belong to: predict, train, train-matcher or train-segmenter."
        ),
    ] = "predict",
    config_name: opt.Config = None,
    assignments: opt.Set = None,
    as_json: opt.Json = False,
) -> None:
    """Print the settings of a command as YAML: defaults, the changes of --config and --set, and a comment for each.

    Save the output to a file, change it, and give it to the command with --config.

    Examples:

    - `animalclef config show > my-settings.yaml`

    - `animalclef config show --config animalclef2025`

    - `animalclef config show train --config miewid`
    """  # fmt: skip
    from animalclef.config import Config, TrainConfig, TrainMatcherConfig, load_recipe
    from animalclef.config.base import commented_yaml
    from animalclef.config.training import TrainSegmenterConfig

    models: dict[str, type[Settings]] = {
        "predict": Config, "train": TrainConfig, "train-matcher": TrainMatcherConfig,
        "train-segmenter": TrainSegmenterConfig,
    }  # fmt: skip
    if command not in models:
        raise ConfigError(f"{command}: no such settings. Expected predict, train, train-matcher or train-segmenter.")
    settings = load_recipe(models[command], config_name, assignments or [])
    if as_json:
        print_json(settings.model_dump(mode="json"))
    else:
        print_text(commented_yaml(settings))
