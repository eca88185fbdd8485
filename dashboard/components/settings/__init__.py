"""The settings page: models, prices, spending, storage."""
