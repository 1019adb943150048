"""The only package that knows the order of the stages."""

from animalclef.pipeline.contents import Contents, read_contents
from animalclef.pipeline.running import Outcome, Pipeline

__all__ = ["Contents", "Outcome", "Pipeline", "read_contents"]
