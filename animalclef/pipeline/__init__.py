"""The only package that knows the order of the stages."""

from animalclef.pipeline.image_contents import Contents, read_contents
from animalclef.pipeline.predict import Outcome, Pipeline

__all__ = ["Contents", "Outcome", "Pipeline", "read_contents"]
