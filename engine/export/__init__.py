"""Exports of a tuned program in every form, and of a run's results.

    program     the program file: data only, versioned, read back by `engine.load`
    alone       a folder that needs no Tuneboard: the program file, and the engine's own files that answer it
    answering   those files' command line, and records of a class; `run.py` in the folder starts it
    record_module  a module with the record's Pydantic class and `extract`, and the record's JSON Schema
    dspy_script a script that builds the program in DSPy, DSPy's state file, and its files read here; dspy_parts: its pieces
    container   a folder to build a container from, this Tuneboard in it as a package
    formats     the contract of a form; `engine.parts` lists all
    script      the program file, a script that asks it with Tuneboard, and both with the tuned models
    messages    the exact messages and request bodies for use without any of this
    page        the program as a page for a wiki or a review
    workflow    a GitHub workflow that checks a changed program
    report      one self-contained HTML file of a run: its content, its charts, a template and a style sheet
    hero        the picture of a run's result, for the report and the Results page
    weights     the files of a folder or a zip; tuned models: weights of this machine as files, models of a provider by name
    tables      the test rows as CSV, Excel and JSON, no formula in them

A new form is a module here (`workflow` is a short one), a line above and in `engine.parts`, and a row in the guide; the
command and the Export page find it. What is exported of a run (its report, results, trainings) is no form.

It knows pipelines and candidates, and nothing of runs or of where files are kept.
"""
