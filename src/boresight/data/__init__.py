"""Instruction data: sources, and tokenising to disk."""
