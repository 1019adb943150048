"""Choose a body by its family: coat sheets, individual proportions and poses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.fields import floats
from animalclef.synthetic.newt import newt_ribbons
from animalclef.synthetic.quadruped import quadruped_ribbons
from animalclef.synthetic.ribbons import Ribbon
from animalclef.synthetic.species import BodyFamily, BodyStyle
from animalclef.synthetic.turtle import turtle_ribbons

__all__ = ["SHEETS", "Sheet", "individual_body", "pose_body"]


@dataclass(frozen=True)
class Sheet:
    """The flat sheet a coat is painted on: a rectangle of the rest pose."""

    left_top_xy: tuple[float, float]  # body units
    extent_wh: tuple[float, float]  # body units
    px_per_unit: float

    @property
    def shape_hw(self) -> tuple[int, int]:
        """Return the texture size, rows then columns."""
        return round(self.extent_wh[1] * self.px_per_unit), round(self.extent_wh[0] * self.px_per_unit)

    def grid_xy(self) -> FloatArray:
        """Return the body place of every texel, (H, W, 2)."""
        height, width = self.shape_hw
        x = self.left_top_xy[0] + (np.arange(width, dtype=np.float32) + 0.5) / self.px_per_unit
        y = self.left_top_xy[1] + (np.arange(height, dtype=np.float32) + 0.5) / self.px_per_unit
        return np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)

    def texel(self, body_xy: FloatArray) -> FloatArray:
        """Return texture coordinates (..., 2) of body places (..., 2), for `cv2.remap`."""
        return floats((body_xy - floats(self.left_top_xy)) * self.px_per_unit - 0.5)


SHEETS: dict[BodyFamily, Sheet] = {
    "quadruped": Sheet((-1.15, -0.75), (2.95, 1.8), 190.0),
    "newt": Sheet((-0.1, -0.55), (2.25, 1.1), 210.0),
    "turtle": Sheet((-1.0, -1.15), (2.0, 2.3), 170.0),
}
"""The coat sheet of each body family."""

_POSES: dict[BodyFamily, Callable[[BodyStyle, np.random.Generator], list[Ribbon]]] = {
    "quadruped": quadruped_ribbons,
    "newt": newt_ribbons,
    "turtle": turtle_ribbons,
}


def individual_body(style: BodyStyle, rng: np.random.Generator) -> BodyStyle:
    """Return the species' proportions with the slight variation of one animal."""
    girth, limb, tail, head = np.exp(rng.normal(0.0, 0.035, 4)).tolist()
    return replace(
        style, girth=style.girth * girth, limb=style.limb * limb, tail=style.tail * tail, head=style.head * head
    )


def pose_body(style: BodyStyle, rng: np.random.Generator) -> list[Ribbon]:
    """Return parts from far to near in a random pose, with a slight perspective along the body."""
    depth = rng.normal(0.0, 0.09)  # how much larger a part is per body unit towards +x
    parts = []
    for part in _POSES[style.family](style, rng):
        gain = floats(1.0 / np.clip(1.0 - depth * (part.pose_xy[:, :1] - 0.4), 0.5, 2.0))
        parts.append(replace(part, pose_xy=part.pose_xy * gain, half_width=part.half_width * gain))
    return parts
