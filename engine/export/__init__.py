"""Exports of a tuned program in every form, and of a run's results.

    program     the program file: data only, versioned, read back by `engine.load`
    alone       a folder that needs no Tuneboard: the program file, and the engine's own files that answer it
    answering   those files' command line, and records of a class; `run.py` in the folder starts it
    record_module  a module with the record's Pydantic class and `extract`, and the record's JSON Schema
    dspy_script a script that builds the program in DSPy, DSPy's state file, and its files read here; dspy_parts: its pieces
    container   a folder to build a container from, this Tuneboard in it as a package
    formats     the table of all, with the short ones: a script that runs with Tuneboard, the exact messages and
                request bodies for use without any of this, the program as a page for a wiki or a review
    report      one self-contained HTML file of a run: its content, its charts, a template and a style sheet
    hero        the picture of a run's result, for the report and the Results page
    weights     tuned models of a program: weights of this machine as files, models of a provider by name
    tables      the test rows as CSV, Excel and JSON, no formula in them

It knows pipelines and candidates, and nothing of runs or of where files are kept.
"""
