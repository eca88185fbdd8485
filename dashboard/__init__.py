"""The browser dashboard: reads the store, starts workers, never searches itself."""
