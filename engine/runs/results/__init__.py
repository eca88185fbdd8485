"""What is made of a run that has ended: reports, exports, later scores, archives."""
