"""The only door from pages to the engine: functions they call, and records they show.

The list is in the stub next to this file, one import a module of the engine; a name is loaded when a page first uses it.
To use another one in a page, add a line there.
"""

from engine.basics.public_names import lazy

__getattr__ = lazy(__name__)
