"""A tuned program in the forms it leaves in, and what a run has to show.

    program     the program file: data only, versioned, read back by `engine.load`
    standalone  a script that needs Python alone: the program as data, and the engine's own code (`carried`) below it
    python      a script that runs with Tuneboard, for every program
    dspy        DSPy's state file, and its files read here; a script that builds the program there
    messages    the exact messages, and request bodies, for use without any of this
    container   a folder to build a container from (dockerfile; container_wheel: this Tuneboard as a package)
    formats     the table of all; a new form is one file and one line there
    report      one self-contained HTML file of a run (report_svg, report_style: its pictures and its look)
    results     the test rows as CSV, Excel and JSON, no formula in them
    diff        two texts compared by line and word; figures: numbers as a person writes them

It knows pipelines and candidates, and nothing of runs or of where files are kept.
"""
