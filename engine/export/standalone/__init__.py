"""A script that runs a tuned program without Tuneboard."""
