"""Examples: the table of rows, their columns and division."""
