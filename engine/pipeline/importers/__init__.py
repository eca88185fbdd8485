"""Tasks read from elsewhere: text, classes, schemas, programs."""
