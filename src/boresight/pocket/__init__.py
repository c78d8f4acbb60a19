"""The embedded default: a tiny base model and its world."""
