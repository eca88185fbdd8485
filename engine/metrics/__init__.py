"""How good an answer is: (example, prediction) -> score and feedback, one family a file."""
