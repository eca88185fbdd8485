"""A tuned program in the forms it leaves in.

    json     the program file: data only, versioned, read back by `engine.load`
    python   a script of its own with a small command line
    formats  the table of both; a new form is one file and one line there

It knows pipelines and candidates, and nothing of runs or of where files are kept.
"""
