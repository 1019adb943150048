"""List the weight files that ship, and those that others publish: source, licence, size and digest.

Sizes and digests are those of the authors' files as several public projects pin them, of the files' pages on their hub,
or of copies at hand; where none is known it is None, and `animalclef weights pull` records what came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import SafetensorError, safe_open

from animalclef.errors import WeightsError, suggestion

__all__ = [
    "SHIPPED",
    "SUPERGLUE",
    "WEIGHTS",
    "WeightsEntry",
    "lightglue_header",
    "published_weights",
    "shipped_embedder",
    "shipped_matcher",
    "shipped_segmenter",
]

SUPERGLUE = "superglue-outdoor"  # of the two that are published; the other is superglue-indoor

_NONE_STATED = "none stated"
_RESEARCH = "non-commercial research (Magic Leap)"
_ALIKED = "https://github.com/Shiaoming/ALIKED/raw/683d7c65197395c0b3f01ebe76e1084a27e73a65/models/{}.pth"
_LIGHTGLUE = "https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv/{}_lightglue.pth"
_XFEAT = "https://github.com/verlab/accelerated_features/raw/main/weights/{}"
_U2NETP = "https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2netp.onnx"
_DISK = "https://raw.githubusercontent.com/cvlab-epfl/disk/8dc6d4d65b47210f629e21ad1fbfb56944b11696/depth-save.pth"
_MEGA, _NC = "BVRA/MegaDescriptor-{}", "CC-BY-NC-4.0"
_DINOV3_TERMS = "https://ai.meta.com/resources/models-and-libraries/dinov3-license/"
SHIPPED = ("embedder-lite",)
"""Embedders whose weights come with the package."""
_FOLDER = Path(__file__).resolve().parents[1] / "weights"


@dataclass(frozen=True)
class WeightsEntry:
    """One published weight file: in a hub repository (`repo`, `revision`, `path`), or at a plain URL."""

    name: str
    file: str  # its name in a bundle
    source: str  # where its authors publish it
    licence: str
    size: int | None = None  # bytes
    sha256: str | None = None
    repo: str | None = None
    revision: str | None = None
    path: str | None = None  # its name in the repository
    aliases: tuple[str, ...] = ()  # other names it goes by, in a folder or in torch hub's cache
    terms: str | None = None  # a page whose terms have to be accepted first


def _on_hub(
    name: str,
    repo: str,
    licence: str,
    revision: str = "main",
    path: str = "model.safetensors",
    size: int | None = None,
    sha256: str | None = None,
    terms: str | None = None,
) -> WeightsEntry:
    source = f"https://huggingface.co/{repo}"
    return WeightsEntry(
        name, f"{name}{Path(path).suffix}", source, licence, size, sha256, repo, revision, path, terms=terms
    )


def _aliked(name: str, sha256: str, size: int | None = None) -> WeightsEntry:
    return WeightsEntry(name, f"{name}.pth", _ALIKED.format(name), "BSD-3-Clause", size, sha256)


def _lightglue(feature: str, licence: str, sha256: str, size: int | None = None) -> WeightsEntry:
    published = f"{feature}_lightglue"
    aliases = (f"{published}.pth", f"{published}_v0-1_arxiv.pth", f"{published}_v0-1_arxiv-pth")
    name = f"lightglue-{feature}"
    return WeightsEntry(name, f"{name}.pth", _LIGHTGLUE.format(feature), licence, size, sha256, aliases=aliases)


WEIGHTS: Mapping[str, WeightsEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            _on_hub(
                "miewid-msv3", "conservationxlabs/miewid-msv3", _NONE_STATED,
                "4f1d7f2b521149e5fe34bb85f377248ce9971a7d", size=205_809_924,
                sha256="adff92b39678f37eb74861c6399a741639a8907ec2382738e903d6120727b348",
            ),
            _on_hub("miewid-msv2", "conservationxlabs/miewid-msv2", _NONE_STATED),
            _on_hub("megadescriptor-t", _MEGA.format("T-224"), _NC, path="pytorch_model.bin"),
            _on_hub(
                "megadescriptor-s", _MEGA.format("S-224"), _NC, "eb42361e4cd85d924385b0df6b727284b3929ffe",
                "pytorch_model.bin", 290_066_098,
                "8ffde82d9d58066bf124d03b938b6e7bf2e278c8fd4201710bf78a3ceb6029ef",
            ),
            _on_hub(
                "megadescriptor-b", _MEGA.format("B-224"), _NC, "ef6848e1ba4dc1c497e4d96776112768b52f8f36",
                "pytorch_model.bin", 472_692_594,
                "655791158167f07773a890368f7db2fced85d569b9bccbbe7e5194e5051e2459",
            ),
            _on_hub(
                "megadescriptor-l", _MEGA.format("L-384"), _NC, "33b3c6f4ee0c386a4126cc3dcd23843920613fa1",
                "pytorch_model.bin", None,
                "ccfe757f50f7984a115ffe00921cd4c09e260e645215463b23814586040227a3",
            ),
            _on_hub("dinov2-s", "timm/vit_small_patch14_dinov2.lvd142m", "Apache-2.0"),
            _on_hub("dinov2-b", "timm/vit_base_patch14_dinov2.lvd142m", "Apache-2.0"),
            _on_hub("dinov2-l", "timm/vit_large_patch14_dinov2.lvd142m", "Apache-2.0"),
            _on_hub("dinov3-s", "timm/vit_small_patch16_dinov3.lvd1689m", "DINOv3 License", terms=_DINOV3_TERMS),
            _on_hub("dinov3-b", "timm/vit_base_patch16_dinov3.lvd1689m", "DINOv3 License", terms=_DINOV3_TERMS),
            _on_hub("dinov3-l", "timm/vit_large_patch16_dinov3.lvd1689m", "DINOv3 License", terms=_DINOV3_TERMS),
            _aliked("aliked-n16", "5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2", 2_738_091),
            _aliked("aliked-n16rot", "ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332"),
            _aliked("aliked-n32", "055283fd1624d3ab46a05c3b617b1a79a3f28d1f551737eef2d653e8c8232890"),
            _aliked("aliked-t16", "56782336919db220144a884e710e2b6af13b3b8f8da15b915a239078ab471085", 794_859),
            WeightsEntry(
                "xfeat", "xfeat.pt", _XFEAT.format("xfeat.pt"), "Apache-2.0", None,
                "0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b", aliases=("xfeat.safetensors",),
            ),
            WeightsEntry(
                "disk", "disk.pth", _DISK, "Apache-2.0", 4_375_832,
                "9c2ee4ded238892dfa51569941372601e35e4a74aa6f84ea80053d2ab1c07abe", aliases=("depth-save.pth",),
            ),
            # the file that rembg publishes (danielgatis/rembg, release v0.0.0), converted from the authors' own
            WeightsEntry(
                "u2netp", "u2netp.onnx", _U2NETP, "Apache-2.0", 4_574_861,
                "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
            ),
            _on_hub("superpoint", "magic-leap-community/superpoint", _RESEARCH),
            # SuperGlue's files were never at hand: neither is pinned by revision, size or digest
            _on_hub("superglue-outdoor", "magic-leap-community/superglue_outdoor", _RESEARCH),
            _on_hub("superglue-indoor", "magic-leap-community/superglue_indoor", _RESEARCH),
            _lightglue(
                "aliked", "Apache-2.0", "d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503", 47_632_827
            ),
            _lightglue(
                "disk", "Apache-2.0", "b5b21d47ea24f2c5e501aec9c91b9716e4c8c3429a4dc1e615c133c4c9378335", 47_631_405
            ),
            _lightglue(
                "superpoint", "Apache-2.0 (its SuperPoint is non-commercial)",
                "6ff7040d0a497fc6639337946d7538dae07428c18f77a067a0b5a960e7cc551a",
            ),
            _lightglue("sift", "Apache-2.0", "5b52b8d9982d43532dc042606b346bb9594c9f5a4bd6f64362c63866287b4ac0"),
            WeightsEntry(
                "lighterglue", "lighterglue.pt", _XFEAT.format("xfeat-lighterglue.pt"), "Apache-2.0",
                aliases=("xfeat-lighterglue.pt",),
            ),
        )
    }
)  # fmt: skip


def published_weights(name: str) -> WeightsEntry:
    """Return the entry of published weights.

    Raises:
        WeightsError: there are none of this name; the message lists those that there are.
    """
    if name not in WEIGHTS:
        known = sorted(WEIGHTS)
        raise WeightsError(f"{name}: no such weights.{suggestion(name, known)} Known: {', '.join(known)}.")
    return WEIGHTS[name]


def shipped_embedder(name: str) -> Path:
    """Return the file of an embedder that ships; its model card lies beside it."""
    return _FOLDER / f"{name}.safetensors"


def shipped_matcher(features: str) -> Path | None:
    """Return the LightGlue that ships for these features (`sift`, ...), or `None`."""
    for path in sorted(_FOLDER.glob("*.safetensors")):
        header = lightglue_header(path)
        if header is not None and header.get("features") == features:
            return path
    return None


def shipped_segmenter() -> Path:
    """Return the file of the segmenter that ships; its model card lies beside it."""
    return _FOLDER / "animal-segmenter.safetensors"


def lightglue_header(path: Path) -> dict[str, Any] | None:
    """Return the `lightglue` entry of a safetensors header, or `None` where there is none.

    Raises:
        WeightsError: the file cannot be read as safetensors.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get("lightglue")
        return None if text is None else dict(json.loads(text))
    except (OSError, SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors with a `lightglue` header ({error}).") from error
