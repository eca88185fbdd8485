"""Example data written for this project: CSV files and a small handbook. Read with importlib.resources."""
