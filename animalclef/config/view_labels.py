"""Settings of filling absent viewpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["ViewLabelConfig"]


class ViewLabelConfig(Settings):
    """A logistic regression per data set, on the embeddings of the photographs whose viewpoint is known."""

    least_confidence: float = Field(0.8, ge=0, le=1, description="below it a viewpoint stays absent")
    strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.001, 0.01, 0.1, 1.0, 10.0), min_length=1, description="values of C (inverse regularisation) that are tried"
    )
    folds: int = Field(5, ge=2, description="folds of individuals that the accuracy is measured over")
    inner_folds: int = Field(3, ge=2, description="folds that C is chosen over")
