"""What flows between the stages: frozen, typed and checked on the way in.

`query` and `gallery` are the two sides of the table (the competition files call the gallery `database`, or `train`).
A missing identity is `None`. Rows are addressed by `image_id`.
"""

from animalclef.artefacts.arrays import FloatArray, StrArray
from animalclef.artefacts.candidates import Embeddings, PairScores, Predictions, RankedCandidates, Shortlist, Votes
from animalclef.artefacts.keypoints import Correspondences, LocalFeatures
from animalclef.artefacts.photographs import DecodedImage, ImageTable, SetAside

__all__ = [
    "Correspondences",
    "DecodedImage",
    "Embeddings",
    "FloatArray",
    "ImageTable",
    "LocalFeatures",
    "PairScores",
    "Predictions",
    "RankedCandidates",
    "SetAside",
    "Shortlist",
    "StrArray",
    "Votes",
]
