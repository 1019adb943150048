"""Settings of stage two: local features and matching."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from animalclef.config.base import Settings
from animalclef.config.feature_presets import FEATURES, Feature
from animalclef.config.members import Member, distinct

__all__ = ["KeypointConfig", "RerankConfig", "RerankMember", "View"]

View = Literal["rot90", "rot180", "rot270", "flip"]


class KeypointConfig(Settings):
    """Stage two: local features."""

    extractor: str = Field("sift", description=f"one of {', '.join(FEATURES)}")
    weights: str | None = Field(None, description="a weight file of the extractor; default: the one found by its name")
    long_side: int | None = Field(
        None,
        ge=64,
        description="larger photographs are scaled down to this long side; default: by the size of the job for sift "
        "and kaze, what suits the feature for networks",
    )
    least_long_side: int = Field(256, ge=32, description="smaller photographs are scaled up to this long side")
    max_keypoints: int | None = Field(
        None,
        ge=8,
        description="keypoints of a photograph, the strongest first; default: by the size of the job for sift and "
        "kaze, what suits the feature for networks",
    )
    matched: int | None = Field(
        None,
        ge=8,
        description="of a photograph's keypoints (on the animal, where there is a mask) the strongest this many are "
        "matched; default: by the size of the job for sift and kaze, all for networks",
    )
    minutes: float | None = Field(
        None,
        gt=0,
        description="what describing and matching may take on two cores, where long_side and max_keypoints are not "
        "given; default: 20 for 3,500 photographs",
    )
    spread: bool = Field(False, description="SIFT, KAZE: the strongest keypoints of every part of the photograph first")
    contrast_threshold: float | None = Field(
        None,
        gt=0,
        description="SIFT: weaker keypoints are left out; default: 0.02, lower where there are many keypoints",
    )
    equalise: bool = Field(True, description="SIFT: even out contrast locally before detection (CLAHE)")
    batch_size: int = Field(8, ge=1, description="networks: photographs of one shape that are described together")
    border: float = Field(0.0, ge=0, lt=0.5, description="keypoints this near to a side are dropped, as a share of it")
    masks: str | None = Field(
        None, description="a folder of masks named like the photographs (PNG, the animal bright); others are dropped"
    )
    views: dict[str, tuple[View, ...]] = Field(
        {}, description="per data set: further views of a query that are matched too (rot90, rot180, rot270, flip)"
    )

    @field_validator("extractor")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in FEATURES:
            raise ValueError(f"expected one of {', '.join(FEATURES)}")
        return name

    @field_validator("views")
    @classmethod
    def _are_distinct(cls, views: dict[str, tuple[View, ...]]) -> dict[str, tuple[View, ...]]:
        return {name: tuple(dict.fromkeys(chosen)) for name, chosen in sorted(views.items()) if chosen}

    @property
    def contrast(self) -> float:
        """Return the contrast below which a SIFT keypoint is left out; many keypoints reach into faint patterns."""
        if self.contrast_threshold is not None:
            return self.contrast_threshold
        most = self.sizes[1]
        return 0.02 if most <= 640 else 0.01 if most < 2048 else 0.005

    @property
    def feature(self) -> Feature:
        """What is known of the extractor."""
        return FEATURES[self.extractor]

    @property
    def sizes(self) -> tuple[int, int]:
        """Long side and number of keypoints: the feature's own where none were given."""
        return self.long_side or self.feature.long_side, self.max_keypoints or self.feature.max_keypoints

    def resolved(self) -> Self:
        """With every size given."""
        return self.model_copy(update=dict(zip(("long_side", "max_keypoints"), self.sizes, strict=True)))


class MatcherSettings(Settings):
    """Settings of one matcher."""

    matcher: Literal["mutual-nearest", "lightglue", "superglue", "none"] = Field(
        "mutual-nearest",
        description="mutual nearest neighbours with a ratio test, LightGlue, or SuperGlue (after superpoint; its "
        "weights may not be used commercially); all verified",
    )
    ratio: float = Field(0.9, gt=0, le=1, description="largest allowed nearest-to-second-nearest distance ratio")
    geometry: Literal["similarity", "affine", "homography"] = "similarity"
    tolerance: float = Field(0.02, gt=0, description="largest reprojection error, as a share of the long side")
    backend: Literal["kornia", "lightglue"] = Field(
        "kornia", description="LightGlue: whose code runs it; lightglue is the original package, installed by hand"
    )
    weights: str | None = Field(
        None,
        description="LightGlue, SuperGlue: a weight file or the name of one; default: the one for keypoints.extractor",
    )
    depth_confidence: float | None = Field(
        None, ge=-1, le=1, description="LightGlue: a pair with this share of settled keypoints is done; -1: never"
    )
    width_confidence: float | None = Field(
        None, ge=-1, le=1, description="LightGlue: keypoints this surely without a match are dropped; -1: none"
    )
    filter_threshold: float | None = Field(
        None, ge=0, lt=1, description="LightGlue, SuperGlue: least confidence of a match"
    )
    batch_size: int = Field(32, ge=1, description="LightGlue, SuperGlue: pairs that are matched and logged together")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="LightGlue: bfloat16 where the device has units for it, float16 on older GPUs"
    )
    compile: bool = Field(False, description="LightGlue: compile the network first (minutes, worth it on a GPU)")
    verify: bool = Field(True, description="LightGlue, SuperGlue: count the matches that agree on one transform")


class RerankMember(MatcherSettings, Member):
    """A further pair of local features and matcher; as text EXTRACTOR or EXTRACTOR+MATCHER."""

    keypoints: KeypointConfig = Field(
        KeypointConfig(), description="of its own; masks, views and border are those of the run"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        extractor, _, matcher = given.partition("+")
        return {"keypoints": {"extractor": extractor}} | ({"matcher": matcher} if matcher else {})

    @property
    def default_label(self) -> str:
        """The extractor, and a matcher that is not mutual nearest neighbours."""
        matcher = "" if self.matcher == "mutual-nearest" else f"+{self.matcher}"
        return f"{self.keypoints.extractor}{matcher}"


class RerankConfig(MatcherSettings):
    """Stage two: matching the shortlist, and with members once more by each of them."""

    members: tuple[RerankMember, ...] = Field(
        (), description="further local features and matchers; each adds its scores of every pair"
    )

    @model_validator(mode="after")
    def _match_something(self) -> Self:
        distinct(self.members)
        if self.members and "none" in (self.matcher, *(one.matcher for one in self.members)):
            raise ValueError("with members every matcher must match, so none of them can be `none`")
        return self
