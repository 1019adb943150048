"""Review a run in the browser: two photographs, and the answer of a person: same, different, or can't tell."""
