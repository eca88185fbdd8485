from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.adapters.values import parse_value
from engine.dataset import guess_mapping, guess_roles, read_dataset, split_rows, usable_rows
from engine.errors import DatasetError, UnknownNameError
from engine.pipeline.build import build_program
from engine.pipeline.check import spec_problems
from engine.pipeline.signatures import signature_of
from engine.pipeline.strategies import STRATEGIES
from engine.pipeline.templates import SAMPLES, Sample, get_sample
from engine.runs.spec import SplitSpec, sample_bytes, sample_draft


@pytest.fixture(params=SAMPLES, ids=lambda s: s.name)
def sample(request) -> Sample:
    return request.param


def test_a_sample_fits_its_file(sample: Sample):
    data = read_dataset(sample_bytes(sample.file), sample.file)
    assert data.problems == ()
    assert data.notes == ()
    assert 120 <= len(data) <= 300
    assert spec_problems(sample.pipeline) == []
    signatures = [signature_of(s) for s in sample.pipeline.steps]
    types = {n: s.annotation(n) for s in signatures for n in s.fields}
    rows = usable_rows(
        data,
        sample.mapping,
        inputs={f.name: types[f.name] for f in sample.pipeline.inputs},
        outputs={f.name: types[f.name] for f in sample.pipeline.outputs},
        parse=parse_value,
    )
    assert rows.problems == ()
    split = split_rows(rows.examples, SplitSpec())
    assert min(split.sizes) >= 36
    for f in sample.pipeline.outputs:
        if f.choices:
            assert {e[f.name] for e in rows.examples.values()} == set(f.choices)
    build_program(sample.pipeline)


def test_roles_and_mapping_of_a_sample_are_guessed_right(sample: Sample):
    data = read_dataset(sample_bytes(sample.file), sample.file)
    outputs = {f.name for f in sample.pipeline.outputs}
    roles = guess_roles(data)
    assert {c for c, role in roles.items() if role == "output"} == {sample.mapping[o] for o in outputs}
    assert guess_mapping(data, sample.mapping, outputs=outputs) == sample.mapping


def test_a_sample_makes_a_complete_draft(sample: Sample):
    draft = sample_draft(sample, "some-dataset")
    assert draft.problems() == []
    assert draft.to_run().dataset == "some-dataset"


def test_samples_and_parts_of_a_pipeline_are_in_the_guides(sample: Sample):
    rows = len(read_dataset(sample_bytes(sample.file), sample.file))
    row = rf"^\| `{sample.name}` \| `{sample.file}`: .* \| {rows} \|$"
    assert re.search(row, sample_bytes("README.md").decode(), re.MULTILINE)
    guide = (Path(__file__).parents[3] / "engine" / "README.md").read_text()
    for name in (*STRATEGIES, "when", "each"):
        assert f"`{name}`" in guide


def test_unknown_samples():
    with pytest.raises(UnknownNameError, match="Choose one of:"):
        get_sample("nope")
    with pytest.raises(DatasetError, match="missing"):
        sample_bytes("nope.csv")
