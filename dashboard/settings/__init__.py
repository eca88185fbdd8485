"""Settings: models, keys, prices, storage."""
