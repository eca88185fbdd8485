"""`python -m engine` is the `tuneboard` command; the dashboard starts a run with `python -m engine run RUN_ID`."""

from engine.cli import main

if __name__ == "__main__":
    main()
