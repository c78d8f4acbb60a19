"""Reads run directories and writes one HTML page."""

from boresight.report.page import write_report

__all__ = ["write_report"]
