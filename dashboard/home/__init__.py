"""Home: projects, samples, running runs."""
