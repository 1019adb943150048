"""U2-Net-P (Qin et al. 2020, arXiv 2005.09007): a small network that finds the most striking object of a photograph.

Batch normalisation is folded into the convolutions, as in the published ONNX file. Convolutions are created in the
order in which the network runs them, so that the n-th convolution of the file is the n-th of the module.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from animalclef.errors import WeightsError
from animalclef.hub.load import load_strictly, read_weights
from animalclef.runtime.regular_files import read_regular
from animalclef.structures.arrays import FloatArray

__all__ = ["U2NetP", "load_u2netp", "read_onnx_convolutions"]

_WIDTH, _MIDDLE = 64, 16  # channels between the blocks, and inside them
_STAGES = (7, 6, 5, 4, 0, 0)  # levels of the six encoder blocks, fine to coarse; 0: a block without pooling
_DILATIONS = (1, 2, 4, 8)  # of a block without pooling

Value = TypeVar("Value", int, bytes)
# Field numbers of onnx.proto.
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_NODE_INPUT, _NODE_OPERATION = 1, 4
_TENSOR_SIDE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_BYTES = 1, 2, 8, 9
_FLOAT32 = 1


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


def load_u2netp(path: Path) -> U2NetP:
    """Return the network with the weights of a file, in float32 and in evaluation mode.

    Raises:
        WeightsError: the file is absent, damaged, or holds the weights of another network.
    """
    if path.suffix == ".onnx":
        network = U2NetP()
        _fill(network, path)
    else:
        state = {name: value.float() for name, value in read_weights(path).items()}
        network = U2NetP(fine="decoder.4.enter.weight" in state)
        load_strictly(network, state, path)
    return network.eval()


def read_onnx_convolutions(path: Path) -> list[tuple[FloatArray, FloatArray]]:
    """Return weight and bias of every convolution of an ONNX file, in the order in which they run.

    Raises:
        WeightsError: the file cannot be read, or is not an ONNX file with float32 convolutions.
    """
    try:
        graph = _values(read_regular(path), _GRAPH, bytes)[0]
        tensors: dict[str, FloatArray] = {}
        for message in _values(graph, _INITIALIZER, bytes):
            tensors |= _tensor(message)
        inputs = [names for node in _values(graph, _NODE, bytes) if (names := _convolution_inputs(node))]
        return [(tensors[weight], tensors[bias]) for _, weight, bias in inputs]
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}).") from error
    except (IndexError, KeyError, ValueError) as error:
        raise WeightsError(f"{path}: not a whole ONNX file. Remove it and pull or copy it again.") from error


def _fill(network: U2NetP, path: Path) -> None:
    read = read_onnx_convolutions(path)
    own = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    shapes = [(tuple(one.weight.shape), (one.out_channels,)) for one in own]
    if [(weight.shape, bias.shape) for weight, bias in read] != shapes:
        raise WeightsError(
            f"{path}: expected the {len(own)} convolutions of U2-Net-P, got {len(read)} of another network. "
            "`animalclef weights pull u2netp` fetches the right file."
        )
    with torch.no_grad():
        for module, (weight, bias) in zip(own, read, strict=True):
            module.weight.copy_(torch.from_numpy(weight.copy()))
            if module.bias is not None:
                module.bias.copy_(torch.from_numpy(bias.copy()))


def _tensor(message: bytes) -> dict[str, FloatArray]:
    """The one named float32 tensor of a message; nothing for a tensor of another type."""
    shape, content = _values(message, _TENSOR_SIDE, int), b"".join(_values(message, _TENSOR_BYTES, bytes)[-1:])
    if _values(message, _TENSOR_TYPE, int)[-1:] != [_FLOAT32] or len(content) != 4 * math.prod(shape):
        return {}
    name = b"".join(_values(message, _TENSOR_NAME, bytes)[-1:]).decode()
    return {name: np.frombuffer(content, "<f4").reshape(shape)}


def _convolution_inputs(message: bytes) -> list[str]:
    """Names of image, weight and bias where the node is a convolution."""
    names = [name.decode() for name in _values(message, _NODE_INPUT, bytes)]
    is_convolution = _values(message, _NODE_OPERATION, bytes)[-1:] == [b"Conv"]
    return names if is_convolution and len(names) == 3 else []


def _values(message: bytes, number: int, kind: type[Value]) -> list[Value]:
    """Return the values of one field of a protobuf message that are of the expected kind."""
    return [value for field, value in _fields(message) if field == number and isinstance(value, kind)]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of a protobuf message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire == 2:
            length, place = _varint(message, place)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"Expected a wire type of 0, 1, 2 or 5, got {wire}.")
        if place + length > len(message):
            raise ValueError("The message ends too early.")
        yield number, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
        if shift > 63:
            raise ValueError("A number is longer than 64 bits.")
