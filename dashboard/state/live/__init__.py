"""Live state of a run, as plain data for the browser."""
