"""The arithmetic of a training step: parameters and their rates, loss, gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from animalclef.config.embedder_training import EmbedderOptimiserConfig, TrainConfig
from animalclef.errors import ConfigError, TrainingError
from animalclef.features.embedding.preprocessing import Preprocessing
from animalclef.training.embedder.photograph_batches import Batch
from animalclef.training.embedder.trained_network import backbone_of, set_mode
from animalclef.training.fabric import average_buffers, average_gradients, skips_overflow

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Learner", "make_optimiser", "on_device"]


def make_optimiser(network: nn.Module, loss: nn.Module, config: EmbedderOptimiserConfig) -> torch.optim.Optimizer:
    """The optimiser; each group of parameters has its `factor` of the rate, nothing of one dimension decays."""
    from torch import optim

    backbone = {id(one) for one in backbone_of(network).parameters()}
    parts = (
        (config.backbone_factor, [one for one in network.parameters() if id(one) in backbone]),
        (1.0, [one for one in network.parameters() if id(one) not in backbone]),
        (config.head_factor, list(loss.parameters())),
    )
    groups = []
    for factor, parameters in parts:
        for matrices in (True, False):
            chosen = [one for one in parameters if (one.ndim > 1) == matrices]
            if chosen:
                decay = config.weight_decay if matrices else 0.0
                groups.append({"params": chosen, "weight_decay": decay, "factor": factor})
    rate, foreach = config.learning_rate, next(network.parameters()).is_cuda
    if config.kind == "sgd":
        return optim.SGD(groups, lr=rate, momentum=config.momentum, nesterov=config.momentum > 0, foreach=foreach)
    return (optim.AdamW if config.kind == "adamw" else optim.Adam)(groups, lr=rate, foreach=foreach)


def on_device(pixels: Tensor, preprocessing: Preprocessing, device: Any) -> Tensor:
    """(b, H, W, 3) bytes normalised, (b, 3, H, W) float32 with channels last in memory."""
    import torch

    mean = torch.tensor(preprocessing.mean, device=device) * 255
    std = torch.tensor(preprocessing.std, device=device) * 255
    return ((pixels.to(device, non_blocking=True).float() - mean) / std).permute(0, 3, 1, 2)


@dataclass(eq=False)
class Learner:
    """The network, its loss and the optimiser of both."""

    both: nn.ModuleDict  # network, loss
    optimiser: Any  # set up by Fabric
    preprocessing: Preprocessing
    config: TrainConfig
    fabric: Any

    def freeze(self, frozen: bool) -> None:
        """Whether the backbone stays as it is.

        Raises:
            ConfigError: then nothing would learn.
        """
        network = self.both["network"]
        for parameter in backbone_of(network).parameters():
            parameter.requires_grad_(not frozen)
        set_mode(network, frozen=frozen, batch_norm=self.config.network.batch_norm)
        if not any(parameter.requires_grad for parameter in self.both.parameters()):
            raise ConfigError("frozen_epochs: nothing but the backbone learns here. Set frozen_epochs=0.")

    def step(self, batches: Iterator[Batch], share: float) -> dict[str, float]:
        """One step at this share of the learning rate; the mean loss, and the gradient's norm where it is clipped.

        Raises:
            TrainingError: the loss or its gradient is not a number.
        """
        settings, rate = self.config.optimiser, self.config.optimiser.learning_rate * share
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        seen, total = [], 0.0
        for _ in range(settings.accumulate):
            batch = next(batches)
            losses = self._losses(batch)
            _check_losses(losses, batch)
            mean = losses.mean()
            self.fabric.backward(mean / settings.accumulate)
            total += float(mean.detach()) / settings.accumulate
            seen += list(batch.image_id)
        average_gradients(self.fabric, self.both)
        figures = {"loss": total, "rate": rate}
        if settings.clip is not None:
            norm = float(self.fabric.clip_gradients(
                self.both, self.optimiser, max_norm=settings.clip, error_if_nonfinite=False
            ))  # fmt: skip
            self._check_norm(norm, seen)
            figures["gradient"] = norm
        elif not skips_overflow(self.fabric):
            self._check_norm(_norm(self.both), seen)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        average_buffers(self.fabric, self.both)
        return figures

    def _losses(self, batch: Batch) -> Tensor:
        import torch

        torch.manual_seed((self.config.seed * 1_000_003 + batch.number) % 2**63)  # what is dropped, also after a kill
        inputs = on_device(batch.pixels, self.preprocessing, self.fabric.device)
        with self.fabric.autocast():
            embeddings = self.both["network"](inputs)
        losses: Tensor = self.both["loss"](embeddings.float(), batch.label.to(self.fabric.device))
        return losses

    def _check_norm(self, norm: float, image_id: list[str]) -> None:
        if not math.isfinite(norm) and not skips_overflow(self.fabric):
            raise TrainingError(_sentence("gradient of the loss", image_id))


def _norm(module: nn.Module) -> float:
    """Length of the whole gradient; changes nothing."""
    import torch

    gradients = [one.grad for one in module.parameters() if one.grad is not None]
    return float(torch.stack([torch.linalg.vector_norm(one.float()) for one in gradients]).norm())


def _check_losses(losses: Tensor, batch: Batch) -> None:
    import torch

    bad = (~torch.isfinite(losses.detach())).nonzero().ravel().tolist()
    if bad:
        raise TrainingError(_sentence("loss", [batch.image_id[row] for row in bad]))


def _sentence(what: str, image_id: list[str]) -> str:
    named = ", ".join(image_id[:64]) + (" ..." if len(image_id) > 64 else "")
    return (
        f"The {what} is not a number, for the photographs with image_id {named}. ExtractionJob at them, or lower "
        "optimiser.learning_rate; the last checkpoint is kept."
    )
