"""One visible piece a file."""
