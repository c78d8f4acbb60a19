"""Models: what answers."""
