"""The task page: steps, fields, wiring, texts to search, the prompt as it will be sent."""
