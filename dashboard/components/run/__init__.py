"""The run page: a run as it goes on."""
