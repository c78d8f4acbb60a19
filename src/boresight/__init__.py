"""Align pretrained language models to follow instructions over long contexts, and measure what changed."""
