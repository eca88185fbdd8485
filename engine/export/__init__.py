"""A tuned program in the forms it leaves in: JSON, a Python script."""
