"""U2-Net-P (Qin et al. 2020, arXiv 2005.09007): a small network that finds the most striking object of a photograph.

Batch normalisation is folded into the convolutions, as in the published ONNX file. Convolutions are created in the
order in which the network runs them, so that the n-th convolution of the file is the n-th of the module.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["U2NetP"]

_WIDTH, _MIDDLE = 64, 16  # channels between the blocks, and inside them
_STAGES = (7, 6, 5, 4, 0, 0)  # levels of the six encoder blocks, fine to coarse; 0: a block without pooling
_DILATIONS = (1, 2, 4, 8)  # of a block without pooling


class _Block(nn.Module):
    """A U-shaped residual block (RSU): a convolution, and a small encoder and decoder whose result is added to it.

    With `levels` 0 the block keeps its resolution and widens its view by dilation (RSU-4F).
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.pools = levels > 0
        inner = levels or len(_DILATIONS)
        down = [1] * (levels - 1) + [2] if self.pools else list(_DILATIONS)  # dilations; the last level is the bottom
        up = [1] * (levels - 1) if self.pools else list(_DILATIONS[-2::-1])
        self.enter = _convolution(channels, _WIDTH)
        self.encoder = nn.ModuleList(
            _convolution(_WIDTH if level == 0 else _MIDDLE, _MIDDLE, down[level]) for level in range(inner)
        )
        self.decoder = nn.ModuleList(
            _convolution(2 * _MIDDLE, _WIDTH if step == inner - 2 else _MIDDLE, up[step]) for step in range(inner - 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        entered = _apply(self.enter, images)
        values, kept = entered, []
        for level, convolution in enumerate(self.encoder):
            if self.pools and 0 < level < len(self.encoder) - 1:
                values = functional.max_pool2d(values, 2, ceil_mode=True)
            values = _apply(convolution, values)
            kept.append(values)
        values = kept.pop()
        for convolution in self.decoder:
            beside = kept.pop()
            values = _apply(convolution, torch.cat((_resized(values, beside), beside), dim=1))
        return values + entered


class U2NetP(nn.Module):
    """Images (n, 3, h, w), normalised, to logits (n, 1, h, w): above 0 where the object probably is.

    Without `fine` the last decoder block is left out, which works at full resolution and takes three fifths of the
    time; logits then have half the resolution of the image.
    """

    def __init__(self, *, fine: bool = True) -> None:
        super().__init__()
        self.fine = fine
        decoders = _STAGES[-2::-1] if fine else _STAGES[-2:0:-1]
        self.encoder = nn.ModuleList(
            _Block(3 if stage == 0 else _WIDTH, levels) for stage, levels in enumerate(_STAGES)
        )
        self.decoder = nn.ModuleList(_Block(2 * _WIDTH, levels) for levels in decoders)
        self.side = nn.ModuleList(nn.Conv2d(_WIDTH, 1, 3, padding=1) for _ in range(len(decoders) + 1))
        self.fuse = nn.Conv2d(len(self.side), 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the fused logits."""
        return self.all_maps(images)[0]

    def all_maps(self, images: Tensor) -> list[Tensor]:
        """Return the fused logits and those of the sides, fine to coarse, all of one size."""
        values, kept = images, []
        for stage, block in enumerate(self.encoder):
            values = block(functional.max_pool2d(values, 2, ceil_mode=True) if stage else values)
            kept.append(values)
        decoded = [kept.pop()]
        kept = kept if self.fine else kept[1:]
        for block in self.decoder:
            beside = kept.pop()
            decoded.insert(0, block(torch.cat((_resized(decoded[0], beside), beside), dim=1)))
        sides = [convolution(values) for convolution, values in zip(self.side, decoded, strict=True)]
        sides = [_resized(side, sides[0]) for side in sides]
        return [self.fuse(torch.cat(sides, dim=1)), *sides]

    def without_fine(self) -> U2NetP:
        """Return a copy without the last decoder block; the next side stands in for the one that goes with it."""
        coarse = U2NetP(fine=False)
        own = self.state_dict()
        last = f"decoder.{len(self.decoder) - 1}."
        state = {name: value for name, value in own.items() if not name.startswith((last, "side.", "fuse."))}
        for number in range(1, len(self.side)):
            state |= {f"side.{number - 1}.{part}": own[f"side.{number}.{part}"] for part in ("weight", "bias")}
        weight = own["fuse.weight"]
        state["fuse.weight"] = torch.cat((weight[:, :1] + weight[:, 1:2], weight[:, 2:]), dim=1)
        state["fuse.bias"] = own["fuse.bias"]
        coarse.load_state_dict(state, strict=True)
        return coarse


def _convolution(channels: int, out: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)


def _apply(convolution: nn.Module, values: Tensor) -> Tensor:
    return functional.relu(convolution(values), inplace=True)


def _resized(values: Tensor, like: Tensor) -> Tensor:
    if values.shape[-2:] == like.shape[-2:]:
        return values
    return functional.interpolate(values, like.shape[-2:], mode="bilinear", align_corners=False)
