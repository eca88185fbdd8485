"""What several optimizers use."""
