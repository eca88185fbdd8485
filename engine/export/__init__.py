"""A tuned program in the forms it leaves in.

    json     the program file: data only, versioned, read back by `engine.load`
    python   a script of its own with a small command line
    dspy     DSPy's state file and a script that builds the program there; its files read here
    messages the exact messages, and request bodies, for use without any of this
    formats  the table of all; a new form is one file and one line there

It knows pipelines and candidates, and nothing of runs or of where files are kept.
"""
