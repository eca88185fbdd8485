"""A tuned program in the forms it leaves in, and what a run has to show.

    json     the program file: data only, versioned, read back by `engine.load`
    python   a script of its own with a small command line
    dspy     DSPy's state file, and its files read here; dspy_script: a script that builds the program there (dspy_parts: its text)
    messages the exact messages, and request bodies, for use without any of this
    formats  the table of all; a new form is one file and one line there
    report   one self-contained HTML file of a run (report_svg, report_style: its pictures and its look)
    results  the test rows as CSV, Excel and JSON, no formula in them
    diff     two texts compared by line and word; figures: numbers as a person writes them

It knows pipelines and candidates, and nothing of runs or of where files are kept.
"""
