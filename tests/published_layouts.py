"""A bundle with random weights in the layouts that MiewID, ALIKED and LightGlue are published in."""

from __future__ import annotations

from pathlib import Path

import torch
from kornia.feature import ALIKED, LightGlue
from safetensors.torch import save_file

from animalclef.features.embedding.embedder_families import FAMILIES
from animalclef.features.embedding.embedder_registry import EMBEDDERS
from animalclef.hub.bundle import write_manifest

__all__ = ["fill_bundle"]


def fill_bundle(folder: Path) -> Path:
    """Write `miewid-msv3`, `aliked-n16` and `lightglue-aliked` and their digests, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    miewid = FAMILIES["miewid"].build(EMBEDDERS["miewid-msv3"].backbone, {}).state_dict()
    save_file({**miewid, "final.weight": torch.zeros(3, 2152)}, folder / "miewid-msv3.safetensors")
    aliked = ALIKED("aliked-n16").state_dict()
    torch.save({name: value for name, value in aliked.items() if name != "dkd.hw_grid"}, folder / "aliked-n16.pth")
    lightglue = LightGlue(features=None, input_dim=128).state_dict()
    lightglue.pop("confidence_thresholds")
    torch.save({_published(name): value for name, value in lightglue.items()}, folder / "lightglue-aliked.pth")
    write_manifest(folder)
    return folder


def _published(name: str) -> str:
    """`self_attn.3.Wqkv.weight` is what the module calls `transformers.3.self_attn.Wqkv.weight`."""
    if not name.startswith("transformers."):
        return name
    _, layer, attention, rest = name.split(".", 3)
    return f"{attention}.{layer}.{rest}"
