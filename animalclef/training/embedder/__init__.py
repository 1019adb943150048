"""Training of embedders: the networks that a shortlist stands on."""
