"""Run the chunks of a stage: on this machine, or on a Ray cluster, behind one door."""
