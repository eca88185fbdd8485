"""What is kept: projects, datasets, runs and everything that happened in them, in one SQLite file."""
