"""The review of a new project: its drafted task, rows, metric and split."""
