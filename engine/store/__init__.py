"""Everything that is kept: projects, datasets, runs and what happened in them, in one SQLite file.

The worker process writes a run; the dashboard reads it and sets its stop and pause flags. The store is
the only channel between them. It knows nothing of models, searches or pages.
"""
