"""The home page: a first run, samples, projects, what is running."""
