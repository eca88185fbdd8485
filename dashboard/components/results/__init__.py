"""The results page: the verdict, prompts side by side, row by row."""
