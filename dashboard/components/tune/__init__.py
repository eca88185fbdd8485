"""The tune page: optimizer, models, budget, what stays as it is, the start."""
