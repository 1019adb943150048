"""Read weights of U2-Net-P: safetensors of our own, or the ONNX file that rembg publishes.

Only the parts of ONNX that this file uses are read (protobuf's wire format: a graph with its nodes and initializers;
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). Nothing in the file is run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from animalclef.errors import WeightsError
from animalclef.hub.load import load_strictly, read_weights
from animalclef.prepare.u2netp import U2NetP
from animalclef.runtime.regular_files import read_regular

__all__ = ["load_u2netp", "read_onnx_convolutions"]

FloatArray = NDArray[np.float32]

# Field numbers of onnx.proto.
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_NODE_INPUT, _NODE_OPERATION = 1, 4
_TENSOR_SIDE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_BYTES = 1, 2, 8, 9
_FLOAT32 = 1


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
        content = read_regular(path)
        graph = next(value for number, value in _fields(content) if number == _GRAPH and isinstance(value, bytes))
        tensors: dict[str, FloatArray] = {}
        inputs: list[list[str]] = []
        for number, value in _fields(graph):
            if number == _INITIALIZER and isinstance(value, bytes):
                tensors |= _tensor(value)
            elif number == _NODE and isinstance(value, bytes):
                inputs += _convolution_inputs(value)
        return [(tensors[weight], tensors[bias]) for _, weight, bias in inputs]
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}).") from error
    except (IndexError, KeyError, ValueError, StopIteration) as error:
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
    shape, name, kind, content = [], "", 0, b""
    for number, value in _fields(message):
        if number == _TENSOR_SIDE and isinstance(value, int):
            shape.append(value)
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number == _TENSOR_NAME and isinstance(value, bytes):
            name = value.decode()
        elif number == _TENSOR_BYTES and isinstance(value, bytes):
            content = value
    if kind != _FLOAT32 or len(content) != 4 * math.prod(shape):
        return {}
    return {name: np.frombuffer(content, "<f4").reshape(shape)}


def _convolution_inputs(message: bytes) -> list[list[str]]:
    """Names of image, weight and bias where the node is a convolution."""
    names, operation = [], ""
    for number, value in _fields(message):
        if number == _NODE_INPUT and isinstance(value, bytes):
            names.append(value.decode())
        elif number == _NODE_OPERATION and isinstance(value, bytes):
            operation = value.decode()
    return [names] if operation == "Conv" and len(names) == 3 else []


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
