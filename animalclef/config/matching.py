"""Settings of local features and of matching; the registry of local features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from animalclef.config.base import Member, Settings, check_distinct

__all__ = ["FEATURES", "Feature", "KeypointConfig", "RerankConfig", "RerankMember", "View", "family"]

View = Literal["rot90", "rot180", "rot270", "flip"]


@dataclass(frozen=True)
class Feature:
    """One kind of local feature.

    `family` names the code that makes it; the name of a feature is also the name of its weights. A network's image has
    sides that are whole multiples of `multiple`.
    """

    family: str
    dimensions: int  # of a descriptor
    long_side: int = 512
    max_keypoints: int = 512
    multiple: int = 1
    has_weights: bool = True


FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "sift": Feature("sift", 128, has_weights=False),
        "aliked-n16": Feature("aliked", 128),
        "aliked-n16rot": Feature("aliked", 128),
        "aliked-n32": Feature("aliked", 128),
        "aliked-t16": Feature("aliked", 64),
        "xfeat": Feature("xfeat", 64, long_side=640, multiple=32),
        "disk": Feature("disk", 128, multiple=16),
        "superpoint": Feature("superpoint", 256, multiple=8),
    }
)


def family(extractor: str) -> str:
    """Return the family of features that a matcher is trained on, such as `aliked` for aliked-n16 and aliked-n32."""
    return extractor.partition("-")[0]


class KeypointConfig(Settings):
    """Local features: keypoints with descriptors."""

    gone: ClassVar[dict[str, Any]] = {"spread": False}

    extractor: str = Field("sift", description=f"the local features: {', '.join(FEATURES)}")
    weights: str | None = Field(
        None, description="weight file of the extractor; null: the published weights of its name"
    )
    long_side: int | None = Field(
        None,
        ge=64,
        le=32_768,
        description="long side in pixels that larger photographs are scaled down to; null: chosen by the size of "
        "the job for sift, the feature's own for networks",
    )
    least_long_side: int = Field(
        256, ge=32, le=32_768, description="long side in pixels that smaller photographs are scaled up to"
    )
    max_keypoints: int | None = Field(
        None,
        ge=8,
        le=100_000,
        description="largest number of keypoints of a photograph, the strongest first; null: chosen by the size of the "
        "job for sift, the feature's own for networks",
    )
    matched: int | None = Field(
        None,
        ge=8,
        le=100_000,
        description="largest number of keypoints that are matched, the strongest on the animal; null: chosen by the "
        "size of the job for sift, all for networks",
    )
    minutes: float | None = Field(
        None,
        gt=0,
        description="minutes on two cores that extracting and matching may take, from which long_side and "
        "max_keypoints are chosen if they are null; null: 22 for 3,500 photographs",
    )
    contrast_threshold: float | None = Field(
        None,
        gt=0,
        description="SIFT: contrast below which a keypoint is dropped; null: 0.02, lower for many keypoints",
    )
    upright: Literal["auto"] | bool | tuple[str, ...] = Field(
        "auto",
        description="SIFT: ignore orientations of keypoints, for photographs that are never rotated: true, false, "
        "names of data sets, or auto: where a trial on database photographs matches clearly better",
    )
    equalise: bool = Field(True, description="SIFT: equalise contrast locally before detection (CLAHE)")
    batch_size: int = Field(8, ge=1, le=65_536, description="networks: photographs of one shape per batch")
    border: float = Field(0.0, ge=0, lt=0.5, description="width of a margin without keypoints, as a share of each side")
    masks: str | None = Field(
        None,
        description="folder of masks, PNG files named like the photographs with a bright animal; keypoints outside are "
        "dropped",
    )
    views: dict[str, tuple[View, ...]] = Field(
        {}, description="further views of each query that are matched: {data set: [rot90, rot180, rot270, flip]}"
    )

    @field_validator("extractor")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in FEATURES:
            raise ValueError(f"expected one of {', '.join(FEATURES)}")
        return name

    @field_validator("upright")
    @classmethod
    def _in_order(cls, upright: bool | str | tuple[str, ...]) -> bool | str | tuple[str, ...]:
        return tuple(sorted(set(upright))) if isinstance(upright, tuple) else upright

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
    def is_sift(self) -> bool:
        """Return whether the features are SIFT's."""
        return self.feature.family == "sift"

    def is_upright(self, dataset: str) -> bool:
        """Return whether the keypoints of a data set are described upright; not where that is still to be chosen."""
        if not self.is_sift:
            return False
        return self.upright if isinstance(self.upright, bool) else self.upright != "auto" and dataset in self.upright

    @property
    def feature(self) -> Feature:
        """Return the registry's entry of the extractor."""
        return FEATURES[self.extractor]

    @property
    def sizes(self) -> tuple[int, int]:
        """Return long side and number of keypoints: the feature's own by default."""
        return self.long_side or self.feature.long_side, self.max_keypoints or self.feature.max_keypoints

    def resolved(self) -> Self:
        """Return a copy with every size filled in."""
        return self.model_copy(update=dict(zip(("long_side", "max_keypoints"), self.sizes, strict=True)))


class MatcherSettings(Settings):
    """Settings of one matcher."""

    fixed: ClassVar[dict[str, Any]] = {"geometry": "similarity"}

    matcher: Literal["mutual-nearest", "lightglue", "superglue", "none"] = Field(
        "mutual-nearest",
        description="the matcher: mutual nearest neighbours with a ratio test, LightGlue, SuperGlue (for "
        "superpoint; its weights are for non-commercial use), or none",
    )
    ratio: float = Field(
        0.9, gt=0, le=1, description="mutual-nearest: largest ratio of nearest to second-nearest distance"
    )
    tolerance: float = Field(
        0.02, gt=0, description="largest error of an inlier under the common similarity, as a share of the long side"
    )
    backend: Literal["kornia", "lightglue"] = Field(
        "kornia",
        description="LightGlue: its implementation; lightglue is the original package, which you install yourself",
    )
    weights: str | None = Field(
        None,
        description="LightGlue, SuperGlue: weight file or name of weights; null: those trained for keypoints.extractor",
    )
    depth_confidence: float | None = Field(
        None, ge=-1, le=1, description="LightGlue: stop at a layer with this share of confident keypoints; -1: never"
    )
    width_confidence: float | None = Field(
        None, ge=-1, le=1, description="LightGlue: prune keypoints that are this confident to have no match; -1: none"
    )
    filter_threshold: float | None = Field(
        None, ge=0, lt=1, description="LightGlue, SuperGlue: lowest confidence of a match"
    )
    batch_size: int = Field(32, ge=1, le=65_536, description="LightGlue, SuperGlue: pairs per batch")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="LightGlue: numerical precision; auto: bfloat16 if the device supports it, float16 on older GPUs",
    )
    compile: bool = Field(False, description="LightGlue: use torch.compile, which takes minutes and pays off on a GPU")
    verify: bool = Field(
        True, description="LightGlue, SuperGlue: verify matches by a common transform and count the inliers"
    )

    @model_validator(mode="before")
    @classmethod
    def _verify_by_similarity(cls, given: Any) -> Any:
        """Refuse what an earlier version could be asked for: its matches would be drawn otherwise than counted."""
        if isinstance(given, dict) and given.get("geometry", "similarity") != "similarity":
            raise ValueError("geometry must be similarity: affine and homography matched worse and were removed")
        return given


class RerankMember(MatcherSettings, Member):
    """A further pair of local features and matcher; as text EXTRACTOR or EXTRACTOR+MATCHER."""

    keypoints: KeypointConfig = Field(
        KeypointConfig(), description="of its own; masks, views, border and upright are those of the run"
    )

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        extractor, _, matcher = given.partition("+")
        return {"keypoints": {"extractor": extractor}} | ({"matcher": matcher} if matcher else {})

    @model_validator(mode="after")
    def _upright_as_the_run(self) -> Self:
        if self.keypoints.upright != "auto":
            raise ValueError("a member's keypoints.upright is that of the run; leave it out")
        return self

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
        check_distinct(self.members)
        if self.members and "none" in (self.matcher, *(one.matcher for one in self.members)):
            raise ValueError("with members every matcher must match, so none of them can be `none`")
        return self
