"""Training: the matcher's network on known warps, the embedder's on named individuals, and what both share."""
