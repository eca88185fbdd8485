"""What a field can hold beyond JSON types."""
