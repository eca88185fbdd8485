"""The metric page: what a right answer is, tried out and checked."""
