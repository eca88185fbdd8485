"""Models: one client, its transports, the call cache and the prices."""
