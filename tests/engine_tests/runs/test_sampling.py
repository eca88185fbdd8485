"""A sample of many rows keeps every label in its share; many categories stay categories; numbers are answers."""

from __future__ import annotations

import random

from engine.dataset import profile, read_dataset, sample_rows
from engine.metrics.json_fields import JSONMatch
from engine.pipeline.build import build_program
from engine.pipeline.infer import infer_mapping, infer_pipeline
from engine.records import Example
from engine.runs.drafting import advised_metric, draft_task, long_texts
from engine.runs.prepare import split_of, usable_examples
from engine.runs.spec import ProjectDraft, SplitSpec
from engine.signature.prediction import Prediction


def labelled(rows: int, labels: int, rare: int = 0) -> dict[int, Example]:
    """Rows with equally frequent labels, and a few of one more."""
    made = {i: Example(text=f"text {i}", label=f"l{i % labels}").with_inputs("text") for i in range(rows)}
    return made | {rows + i: Example(text=f"rare {i}", label="rare").with_inputs("text") for i in range(rare)}


def table(text: str):
    data = read_dataset(text.encode(), "rows.csv")
    return data, profile(data)


def test_a_sample_is_seeded_stratified_and_without_repeats():
    rows = labelled(6000, 3, rare=6)
    drawn = sample_rows(rows, 300, 7, outputs=["label"])
    assert drawn == sample_rows(dict(reversed(rows.items())), 300, 7, outputs=["label"])
    assert drawn != sample_rows(rows, 300, 8, outputs=["label"])
    labels = [rows[row]["label"] for row in drawn]
    assert len(drawn) == len(set(drawn)) == 300
    assert all(98 <= labels.count(f"l{i}") <= 101 for i in range(3))
    assert labels.count("rare") == 3
    same = {i: Example(text="one text", label="ab"[i % 2]).with_inputs("text") for i in range(500)}
    assert len(sample_rows(same, 300, 0, outputs=["label"])) == 1
    assert sample_rows(labelled(20, 2), 300, 0) == tuple(range(20))


def test_a_project_with_a_sample_divides_only_its_rows():
    text = "text,intent\n" + "".join(f"ask {i} again,intent {i % 77:02}\n" for i in range(8000))
    data, profiles = table(text)
    spec = infer_pipeline(data, profiles=profiles)
    draft = ProjectDraft(pipeline=spec, mapping=infer_mapping(data, spec), split=SplitSpec(sample=300))
    split = split_of(draft, usable_examples(spec, data, draft.mapping))
    assert sum(split.sizes) == 300
    intents = data.values("intent")
    assert len({intents[row] for row in split.test}) >= 75
    whole = split_of(
        draft.model_copy(update={"split": SplitSpec()}), usable_examples(spec, data, draft.mapping)
    )
    assert sum(whole.sizes) == 8000
    assert whole.stratified_by == "intent"


def test_many_categories_stay_categories_and_the_prompt_names_them():
    for values, count in (
        ([f"intent {i % 77}" for i in range(1540)], 77),
        ([f"kind {i % 77}" for i in range(160)], 77),
    ):
        text = "text,intent\n" + "".join(f"ask {i},{value}\n" for i, value in enumerate(values))
        data, profiles = table(text)
        spec = infer_pipeline(data, profiles=profiles)
        assert len(spec.outputs[0].choices) == count
        metric = advised_metric(spec)
        assert metric is not None
        assert metric.name == "ExactMatch"
        (predictor,) = build_program(spec).predictors()
        assert "76" in str(predictor.signature.output_fields)


def test_class_numbers_are_categories_and_other_numbers_are_not():
    rng = random.Random(3)
    coded, profiles = table("text,label\n" + "".join(f"ask {i},{i % 77}\n" for i in range(1540)))
    assert len(infer_pipeline(coded, profiles=profiles).outputs[0].choices) == 77
    prices, profiles = table(
        "item,label\n" + "".join(f"lamp {i},{rng.randint(5, 900)}\n" for i in range(900))
    )
    assert infer_pipeline(prices, profiles=profiles).outputs[0].type == "int"


def test_a_numeric_answer_is_an_output_with_a_numeric_metric_and_arithmetic_thinks_first():
    sums, profiles = table(
        "question,answer\n" + "".join(f"What is {i} + {i * 7}?,{i * 8}\n" for i in range(90))
    )
    spec = infer_pipeline(sums, profiles=profiles)
    assert (spec.outputs[0].name, spec.outputs[0].type) == ("answer", "int")
    assert spec.steps[0].strategy == "chain_of_thought"
    bills, profiles = table(
        "mail,amount\n" + "".join(f"please pay {i * 1.5} now,{i * 1.5}\n" for i in range(90))
    )
    read = infer_pipeline(bills, profiles=profiles)
    assert read.steps[0].strategy == "predict"
    for one in (spec, read):
        metric = advised_metric(one)
        assert metric is not None
        assert metric.name == "NumberWithin"


def test_free_text_next_to_a_label_is_not_scored_by_exact_match():
    rows = "".join(
        f"case {i},{'ab'[i % 2]},We looked at case {i} for a long time and then sent it back to you.\n"
        for i in range(30)
    )
    both, profiles = table("text,label,response\n" + rows)
    spec = infer_pipeline(both, {"text": "input", "label": "output", "response": "output"}, profiles)
    metric = advised_metric(spec, long_texts(infer_mapping(both, spec), profiles))
    assert metric is not None
    right = {
        "text": "case 1",
        "label": "a",
        "response": "We looked at case 1 for a long time and then sent it back to you.",
    }
    assert metric.name == "JSONMatch"
    score = JSONMatch(**metric.options)
    other = Prediction(label="a", response="We looked at case 1 for a long time, and sent it back.")
    assert 0.5 < float(score(Example(**right).with_inputs("text"), other)) < 1
    assert float(score(Example(**right).with_inputs("text"), Prediction(**{**right, "label": "b"}))) == 0.5
    text = infer_pipeline(both, {"text": "input", "label": "ignore", "response": "output"}, profiles)
    alone = advised_metric(text)
    assert alone is not None
    assert alone.name == "TokenF1"
    drafted = draft_task(None, both, profiles).metric
    assert drafted == metric
