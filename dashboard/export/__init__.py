"""Export: the tuned program in every form."""
