"""Types of fields beyond those of JSON.

    base.py     Type: how a value is shown in a message, described to a model and read from a reply
    media.py    Image, Audio, File, PDF: parts of a message, and the one door to the network, opened by `from_url` only
    textual.py  Reasoning, History, Code, Document and the Citations of it
    tool.py     ToolForm, what a tool is to a prompt, and the calls that a model asks for

No file is read and no address is asked when a value is made: `from_path` and `from_url` say so in their names. They
know nothing of adapters, models or signatures. Names are loaded when they are first used.
"""

from __future__ import annotations

from engine.basics.public_names import lazy

__getattr__ = lazy(__name__)
