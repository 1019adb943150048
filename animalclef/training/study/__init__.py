"""Trainings beside each other: which networks an arm needs, and how well each embeds every data set."""
