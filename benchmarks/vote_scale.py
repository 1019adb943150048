"""The vote of local descriptors at the size of AnimalCLEF 2025: processor time and memory, on made-up SIFT.

    python benchmarks/vote_scale.py [--images 8729] [--asked 40]

Indexes `--images` photographs of 512 keypoints and lets `--asked` of them ask, their own photograph barred. Prints the
processor seconds (all threads) of the index and of one question, and the peak memory; the largest data set, with 8,729
photographs, is the default.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from animalclef.config import VoteConfig
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.retrieval.descriptor_index import DescriptorIndex, build_block, train_codebook
from animalclef.retrieval.descriptor_votes import local_votes
from animalclef.structures import FloatArray


def main() -> None:
    """Index, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=8729)
    parser.add_argument("--asked", type=int, default=40)
    parser.add_argument("--keypoints", type=int, default=512)
    arguments = parser.parse_args()
    words = np.random.default_rng(0).gamma(0.6, 30, (2000, 128))

    def read(image: int) -> FloatArray:
        rng = np.random.default_rng([1, image])
        drawn = words[rng.integers(0, len(words), arguments.keypoints)] + rng.gamma(0.6, 15, (arguments.keypoints, 128))
        return root_sift(np.clip(drawn, 0, 255).astype(np.uint8))

    start = time.process_time()
    for image in range(100):
        read(image)
    reading = (time.process_time() - start) / 100
    config, start = VoteConfig(), time.process_time()
    codebook = train_codebook(read, arguments.images, config, 0)
    block = build_block(read, range(arguments.images), codebook)
    index = DescriptorIndex(codebook, lambda: [block], config.probes)
    making = time.process_time() - start - 2 * arguments.images * reading
    barred = np.zeros(arguments.images, dtype=bool)
    start = time.process_time()
    for image in range(arguments.asked):
        [(distance, owner)] = index.search([read(image)], config.neighbours + 17)
        local_votes(distance, owner, barred, config.neighbours)
    asking = (time.process_time() - start) / arguments.asked - reading
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{len(index):,} descriptors: {making:.0f} s to index, {asking:.3f} s a query, peak memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
