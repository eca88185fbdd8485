"""A run: its spec, its preparation and the worker process that carries it out."""
