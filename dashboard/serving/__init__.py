"""The parts of the server: its front, the site behind it, and the event streams of runs."""
