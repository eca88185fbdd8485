"""History: all runs of all projects."""
