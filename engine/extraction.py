"""Records from documents: the public path of `engine.compat.prompter`."""

from engine.compat.prompter import *  # noqa: F403 - all of its public names
