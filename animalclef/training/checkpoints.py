"""The state of a training, written whole: weights, averaged weights, the optimiser's moments and the step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from animalclef.config.training import MatcherNetworkConfig
from animalclef.errors import StaleArtefactError, WeightsError
from animalclef.store.files import write_bytes
from animalclef.training.features import TrainingFeatures

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Averaged", "load_state", "read_weights", "save_network", "save_state"]

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Averaged:
    """The exponential moving average of a network's weights; early steps count for more, so that it is not late."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network's weights after its `step`-th step (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            self.weights[name].lerp_(value.detach(), 1 - decay)


def save_state(
    path: Path, network: nn.Module, averaged: Averaged, optimiser: torch.optim.Optimizer, step: int, recipe: str
) -> None:
    """Write everything that the next step needs."""
    from safetensors.torch import save

    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"averaged.{name}": value for name, value in averaged.weights.items()}
    for name, parameter in network.named_parameters():
        moments = optimiser.state.get(parameter, {})
        tensors |= {f"{moment}.{name}": moments[moment] for moment in _MOMENTS if moment in moments}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(whole, metadata={"step": str(step), "recipe": recipe}))


def load_state(
    path: Path, network: nn.Module, averaged: Averaged, optimiser: torch.optim.Optimizer, recipe: str
) -> int:
    """Take a state over; the step it was written after.

    Raises:
        StaleArtefactError: the state belongs to another recipe, start or folder of photographs, or is damaged.
    """
    tensors, metadata = _read(path, StaleArtefactError)
    if metadata.get("recipe") != recipe:
        raise StaleArtefactError(
            f"{path}: belongs to a training with other settings, photographs or start. "
            "Use another --out, or --overwrite to begin anew."
        )
    of_network = {
        name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")
    }
    network.load_state_dict(of_network, strict=True)
    for name in averaged.weights:
        averaged.weights[name].copy_(tensors[f"averaged.{name}"])
    for name, parameter in network.named_parameters():
        if f"exp_avg.{name}" in tensors:
            moments = {moment: tensors[f"{moment}.{name}"] for moment in _MOMENTS}
            optimiser.state[parameter] = {
                moment: value if moment == "step" else value.to(parameter.device) for moment, value in moments.items()
            }
    return int(metadata["step"])


def save_network(
    path: Path,
    weights: Mapping[str, Tensor],
    features: TrainingFeatures,
    network: MatcherNetworkConfig,
    *,
    half: bool = True,
) -> None:
    """Write a network for use: kornia's names, half precision, its size in the header."""
    import torch
    from safetensors.torch import save

    dtype = torch.float16 if half else torch.float32
    tensors = {name: value.detach().cpu().to(dtype).contiguous() for name, value in weights.items()}
    header = {"features": features.name, "input_dim": features.input_dim, **network.model_dump()}
    write_bytes(path, save(tensors, metadata={"lightglue": json.dumps(header)}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        WeightsError: it is not there, or is no such file.
    """
    return _read(path, WeightsError)[0]


def _read(path: Path, kind: type[WeightsError] | type[StaleArtefactError]) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise kind(f"{path}: not a readable safetensors file ({error}). Give another, or remove it.") from error
