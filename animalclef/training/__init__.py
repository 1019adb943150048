"""Training: the matcher's network on known warps."""
