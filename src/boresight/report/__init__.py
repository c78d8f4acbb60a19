"""Reads run directories and writes one HTML page."""
