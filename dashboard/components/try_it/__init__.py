"""The try page: one input, answered by both programs."""
