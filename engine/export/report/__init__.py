"""The report: one HTML page on a run."""
