"""The state of a training, written whole: weights, averaged weights, the optimiser's moments and the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from animalclef.errors import StaleArtefactError, WeightsError
from animalclef.runtime.atomic_files import write_bytes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Averaged", "State", "load_state", "read_weights", "save_state"]

_NETWORK, _AVERAGED, _KEPT = "network", "averaged", "kept"


class Averaged:
    """The exponential moving average of a network's weights; early steps count for more, so that it is not late.

    Whole numbers (batch normalisation's count) are taken over as they are.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network's weights after its `step`-th step (from 1)."""
        self.move(network, 1 - min(self.decay, (1 + step) / (10 + step)))

    def move(self, network: nn.Module, share: float) -> None:
        """Move by `share` of the way towards the network's weights."""
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value.detach(), share)
            else:
                self.weights[name].copy_(value)


@dataclass(frozen=True, eq=False)
class State:
    """What a state holds beside the weights and moments that `load_state` takes over."""

    step: int  # it was written after
    kept: Mapping[str, Tensor]
    notes: Mapping[str, str]


def save_state(
    path: Path,
    network: nn.Module,
    averaged: Averaged,
    optimiser: torch.optim.Optimizer,
    step: int,
    recipe: str,
    *,
    kept: Mapping[str, Tensor] | None = None,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write everything that the next step needs: of the optimiser whatever tensors it holds for each parameter."""
    from safetensors.torch import save

    tensors = {f"{_NETWORK}.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"{_AVERAGED}.{name}": value for name, value in averaged.weights.items()}
    tensors |= {f"{_KEPT}.{name}": value for name, value in (kept or {}).items()}
    for name, parameter in network.named_parameters():
        tensors |= {f"{moment}.{name}": value for moment, value in optimiser.state.get(parameter, {}).items()}
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(whole, metadata={**(notes or {}), "step": str(step), "recipe": recipe}))


def load_state(
    path: Path, network: nn.Module, averaged: Averaged, optimiser: torch.optim.Optimizer, recipe: str
) -> State:
    """Take a state over.

    Raises:
        StaleArtefactError: the state belongs to another recipe, start or folder of photographs, or is damaged.
    """
    tensors, metadata = _read(path, StaleArtefactError)
    if metadata.get("recipe") != recipe:
        raise StaleArtefactError(
            f"{path}: belongs to a training with other settings, photographs or start. "
            "Use another --out, or --overwrite to begin anew."
        )
    groups: dict[str, dict[str, Tensor]] = {_NETWORK: {}, _AVERAGED: {}, _KEPT: {}}
    for key, value in tensors.items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    network.load_state_dict(groups.pop(_NETWORK), strict=True)
    for name, value in groups.pop(_AVERAGED).items():
        averaged.weights[name].copy_(value)
    kept = groups.pop(_KEPT)
    for name, parameter in network.named_parameters():
        moments = {moment: of[name] for moment, of in groups.items() if name in of}
        if moments:
            optimiser.state[parameter] = {
                moment: value if moment == "step" else value.to(parameter.device) for moment, value in moments.items()
            }
    return State(int(metadata["step"]), kept, metadata)


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
