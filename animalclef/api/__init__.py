"""The public API: what `animalclef.NAME` loads on first use."""
