"""The Markdown page of a program: everything in it, nothing read as markup."""

from support.run_setup import PIPELINE

from engine.export.page import markdown_page
from engine.export.program import program_file
from engine.pipeline.build import build_program
from engine.records import Demo


def content(**changes):
    demos = (Demo({"text": "```\n# not a heading ![x](http://a)", "shelf": "red"}),)
    candidate = build_program(PIPELINE).candidate().with_step("sort", instructions="Sort | it.", demos=demos)
    return program_file(PIPELINE, candidate, **{"model": {"name": "openai/test-model"}, **changes})


def test_the_page_holds_fields_instructions_and_examples():
    page = markdown_page(content(metadata={"title": "<b>Shelves</b>", "verdict": "Better."}))
    assert page.startswith("# \\<b\\>Shelves\\<\\/b\\>\n")
    assert "## Step `sort`" in page
    assert "| `shelf` |" in page
    assert "Sort | it." in page
    assert "Solved examples of `sort` (1)" in page


def test_outside_text_stays_inside_its_fence():
    lines = markdown_page(content()).splitlines()
    fence = next(line for line in lines if line.startswith("````"))
    assert lines.count(fence.removesuffix("json")) == 1
    assert not any(line.startswith("# not") for line in lines)
