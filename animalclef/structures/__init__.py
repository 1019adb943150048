"""What flows between the stages: frozen, typed and checked on the way in.

`query` and `gallery` are the two sides of the table (the competition files call the gallery `database`, or `train`).
A missing identity is `None`. Rows are addressed by `image_id`.
"""

from animalclef.structures.arrays import FloatArray, StrArray
from animalclef.structures.candidates import Embeddings, PairScores, Predictions, RankedCandidates, Shortlist, Votes
from animalclef.structures.features import ContentKey, Correspondences, LocalFeatures, MatchKey
from animalclef.structures.images import WHOLE_XYWHR, DecodedImage, ImageTable, Skipped
from animalclef.structures.reviewed import Conflict, ReviewedPairs

__all__ = [
    "WHOLE_XYWHR",
    "Conflict",
    "ContentKey",
    "Correspondences",
    "DecodedImage",
    "Embeddings",
    "FloatArray",
    "ImageTable",
    "LocalFeatures",
    "MatchKey",
    "PairScores",
    "Predictions",
    "RankedCandidates",
    "ReviewedPairs",
    "Shortlist",
    "Skipped",
    "StrArray",
    "Votes",
]
