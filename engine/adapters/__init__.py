"""How a signature becomes messages, and a reply becomes typed fields."""
