"""Task: steps, fields, instructions."""
