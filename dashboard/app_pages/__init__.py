"""The pages: one folder each, with the parts only it uses."""
