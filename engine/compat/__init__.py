"""The layer for programs written for DSPy; nothing else knows of it. `engine/__init__.py` applies it to public names.

names       DSPy's names and module paths for what has another name here
arguments   DSPy's arguments that have no effect here, or another name
gepa        the options and objects of the gepa package
"""
