"""Finding passages for a query."""
