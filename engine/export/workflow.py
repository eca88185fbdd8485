"""A GitHub workflow that checks a changed program."""

from __future__ import annotations

from engine.export.formats import ExportFormat
from engine.export.program import ProgramFile
from engine.lm.choice import key_variable


def workflow(program: ProgramFile) -> str:
    """Return a GitHub workflow that compares a changed program with the one before on a table of examples."""
    keys = sorted({key for model in program.models if (key := key_variable(model))})
    secrets = "".join(f"\n          {name}: ${{{{ secrets.{name} }}}}" for name in keys)
    return WORKFLOW.replace("@ENV@", f"\n        env:{secrets}" if keys else "")


WORKFLOW = """\
# Fails a change of program.json that makes it surely worse on rows.csv.
# Put both files next to each other in the repository, and this one into .github/workflows/.
name: Check the prompt
on:
  pull_request:
    paths: ["**/program.json", "**/rows.csv"]
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install tuneboard
      - name: The program before this change
        env:
          BASE: ${{ github.event.pull_request.base.sha }}
        run: git show "$BASE:program.json" > old.json || cp program.json old.json
      - name: Check it against the one before@ENV@
        run: >
          tuneboard check program.json rows.csv --against old.json
          --junit check.xml --summary "$GITHUB_STEP_SUMMARY"
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: check
          path: check.xml
"""

FORM = ExportFormat(
    name="workflow",
    title="GitHub workflow",
    about="Fails a change of the program that makes it surely worse on your examples: runs tuneboard check.",
    file_name="check.yml",
    render=workflow,
)
