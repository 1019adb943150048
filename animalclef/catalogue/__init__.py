"""Keep a catalogue of individuals that grows by the season: every change is signed, and can be undone."""
