"""Prompter: reading, tuning, confidence, batches, streams and folders."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import math
import re
from decimal import Decimal
from enum import Enum

import pytest
from pydantic import BaseModel, Field, field_validator
from support.servers.openai_server import OpenAIServer

import engine
from engine import loop
from engine.compat.prompter.tuning import OptimizeOptions, divided, label_values, labelled_rows
from engine.errors import ConfigurationError, DatasetError, ProgramFileError
from engine.extraction import Example
from engine.runtime import current
from engine.testing import ScriptedLM


class Currency(Enum):
    EUR = "EUR"
    USD = "USD"


class Item(BaseModel):
    name: str
    price: Decimal


class Bill(BaseModel):
    number: str
    total: float = Field(description="A number.")
    currency: Currency = Currency.EUR
    day: datetime.date | None = None
    items: list[Item] = []

    @field_validator("number")
    @classmethod
    def _upper(cls, value: str) -> str:
        return value.upper()


RULE = "The total with tax"
NET, GROSS = re.compile(r"net (\d+)"), re.compile(r"gross (\d+)")


def document(n):
    return f"Invoice b{n}. net {n + 10}, gross {n + 20}."


def shown(request):
    """The system message, and the last message's text."""
    last = request.messages[-1]["content"]
    return str(request.messages[0]["content"]), last if isinstance(last, str) else str(last)


def reads(request):
    """A model that takes the net total, unless a description tells it otherwise; it writes good descriptions."""
    system, last = shown(request)
    if "proposed_description" in system:
        return {"proposed_description": RULE if "record.total" in last else "Any."}
    if "proposed_instructions" in system:
        return {"proposed_instructions": "Read with care."}
    total = (GROSS if RULE in system else NET).search(last)
    number = re.search(r"Invoice (\w+)", last)
    answer = {"number": number[1] if number else "?", "total": int(total[1]) if total else 0}
    return {"record": json.dumps(answer)}


def examples(n):
    return [Example(text=document(i), expected_output={"number": f"B{i}", "total": i + 20}) for i in range(n)]


def prompter(answer=reads, model=Bill, **options):
    return engine.Prompter(model, ScriptedLM(answer), **options)


def test_a_record_is_an_instance_of_the_users_class():
    found = prompter().predict(document(1))
    assert type(found) is Bill
    assert (found.number, found.total, found.currency) == ("B1", 11.0, Currency.EUR)


def test_tuning_finds_the_description_and_is_measured_on_rows_held_out():
    one = prompter()
    one.predict(document(1))
    heard = []
    result = one.optimize(examples(12), on_progress=heard.append, optimizer="fieldbyfield")
    assert result.optimized_descriptions["total"] == RULE
    assert (result.baseline_score, result.optimized_score) == (0.8, 1.0)
    assert result.field_scores["total"].before == 0
    assert result.field_scores["total"].after == 1
    assert result.field_scores["number"].after == 1
    assert result.kept
    assert (result.training_size, result.validation_size, result.test_size) == (5, 5, 2)
    assert result.verdict.rows == 2
    assert result.api_calls == len(one.lm.requests) - 1 == result.usage.calls
    assert result.total_tokens > 0
    assert one.predict(document(3)).total == 23
    assert heard[0].phase == "baseline"
    assert heard[-1].phase == "complete"
    assert "fields" in {p.phase for p in heard}
    assert Bill.model_fields["total"].description == "A number."
    assert one.optimized_model.model_fields["total"].description == RULE
    assert "calls" in result.summary


@pytest.mark.parametrize("rows", [1, 3, 22])
def test_the_defaults_work_for_any_number_of_rows(rows):
    result = prompter().optimize(examples(rows), budget=engine.Budget(calls=300))
    assert result.optimized_score >= result.baseline_score
    assert result.held_out == (rows >= 3)
    assert result.advice


@pytest.mark.parametrize(
    "name", ["gepa", "copro", "bootstrapfewshot", "miprov2zeroshot", "autotune", "labeledfewshot"]
)
def test_optimizers_by_the_names_of_dspydantic(name):
    result = prompter().optimize(examples(8), optimizer=name, budget=engine.Budget(calls=120))
    assert result.api_calls <= 120


def test_an_optimizer_as_an_object_with_options():
    result = prompter().optimize(examples(8), optimizer=engine.COPRO(breadth=2, depth=1, tune_fields=True))
    assert result.optimizer == "COPRO"
    with pytest.raises(ConfigurationError, match="There is no optimizer 'gepar'"):
        prompter().optimize(examples(8), optimizer="gepar")


def test_a_worse_result_is_not_kept():
    def worse(request):
        system, last = shown(request)
        if "proposed" in system:
            return reads(request)
        held_out = any(f"b{i}." in last for i in test_ids)
        good = RULE in system
        n = int(re.search(r"Invoice b(\d+)", last)[1])
        right = good != held_out
        return {"record": json.dumps({"number": f"b{n}", "total": n + 20 if right else 0})}

    one = prompter(worse)
    rows, _ = labelled_rows(examples(10), Bill, one.program)
    test_ids = [number - 1 for number in divided(rows, OptimizeOptions()).test]
    result = one.optimize(examples(10), optimizer="fieldbyfield")
    assert not result.kept
    assert result.optimized_score == result.baseline_score
    assert result.optimized_descriptions["total"] == "A number."
    assert "first one is kept" in result.summary


def test_excluded_fields_are_neither_tuned_nor_scored_and_included_ones_alone_are():
    one = prompter()
    result = one.optimize(examples(8), exclude_fields=("total",), optimizer="fieldbyfield")
    assert result.baseline_score == 1
    assert "proposed_description" not in str([r.messages for r in one.lm.requests])
    result = prompter().optimize(examples(8), include_fields=("number",), optimizer="fieldbyfield")
    assert result.optimized_descriptions["total"] == "A number."
    result = prompter().optimize(examples(8), frozen=("total",), optimizer="fieldbyfield")
    assert result.optimized_descriptions["total"] == "A number."
    with pytest.raises(ConfigurationError, match="no field 'totals'"):
        prompter().optimize(examples(8), exclude_fields=("totals",))


def test_a_function_scores_also_where_there_is_a_right_answer():
    calls = []

    def score(example, record):
        calls.append((type(example), type(record)))
        return 1.0 if record.total == example.expected_output["total"] else 0.25

    result = prompter().optimize(
        examples(8), evaluate_fn=score, optimizer="gepa", budget=engine.Budget(calls=60)
    )
    assert set(calls) == {(Example, Bill)}
    assert result.baseline_score == 0.25
    with pytest.raises(ConfigurationError, match="with an example and a prediction"):
        prompter().optimize(examples(3), evaluate_fn=lambda: 1)


def test_a_model_given_as_evaluate_fn_judges_with_and_without_right_answers():
    for labelled in (True, False):
        judge = ScriptedLM(lambda _request: {"reasoning": "Fine.", "marks": "[1, 1, 0.5]"})
        rows = examples(6) if labelled else [Example(text=document(i)) for i in range(6)]
        result = prompter().optimize(
            rows, evaluate_fn=judge, optimizer="copro", budget=engine.Budget(calls=60)
        )
        assert judge.requests
        assert result.baseline_score == pytest.approx(2.5 / 3)


def test_placeholders_are_filled_in_every_prompt():
    one = prompter(
        system_prompt="Read {kind} for {customer}.",
        instruction_prompt="It is about {kind}.",
    )
    rows = [
        Example(
            text={"text": document(i), "kind": "bills", "customer": "Ann"},
            expected_output={"number": f"B{i}", "total": i + 20},
        )
        for i in range(6)
    ]
    result = one.optimize(rows, optimizer="fieldbyfield")
    answered = [shown(r) for r in one.lm.requests if "proposed" not in shown(r)[0]]
    assert answered
    assert all("bills" in system and "{kind}" not in system and "gross" in last for system, last in answered)
    assert "Read {kind} for {customer}." in result.optimized_system_prompt
    one.predict({"text": document(1), "kind": "receipts", "customer": "Bob"})
    assert "receipts for Bob" in shown(one.lm.requests[-1])[0]


def test_prompts_may_be_given_to_optimize():
    one = prompter()
    one.optimize(
        examples(4), system_prompt="Be exact.", instruction_prompt="It is a bill.", frozen=("system_prompt",)
    )
    assert one.optimized_system_prompt == "Be exact."
    assert "It is a bill." in shown(one.lm.requests[0])[0]


def test_text_answers_without_a_model():
    one = engine.Prompter(lm=ScriptedLM(lambda _r: {"output": "Paris"}))
    assert one.predict("The capital of France?").output == "Paris"
    rows = [Example(text=f"Town {i}?", expected_output="Paris") for i in range(4)]
    assert one.optimize(rows, optimizer="labeledfewshot").baseline_score == 1


def test_rows_that_do_not_validate_are_left_out_with_their_reason():
    rows = [*examples(5), Example(text="x", expected_output={"number": "1", "total": "much"}), Example()]
    result = prompter().optimize(rows, optimizer="labeledfewshot")
    assert "Row 6 is left out: field 'total'" in result.left_out[0]
    assert "Row 7 is left out" in result.left_out[1]
    assert list(labelled_rows([Example(), *rows[:2]], Bill, prompter().program)[0]) == [2, 3]
    with pytest.raises(ConfigurationError, match="no example to tune with"):
        prompter().optimize(rows[5:])


def test_an_estimate_asks_nothing():
    one = prompter()
    found = one.estimate(examples(12), budget=engine.Budget(calls=200))
    assert found.calls.high <= 200
    assert not one.lm.requests


def test_batches_keep_order_bound_concurrency_and_return_errors():
    running = peak = 0

    class Slow(ScriptedLM):
        async def complete(self, request):
            nonlocal running, peak
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0.002)
            running -= 1
            return await super().complete(request)

    one = engine.Prompter(Bill, Slow(reads))
    found = one.predict_batch((document(i) for i in range(30)), max_workers=4)
    assert [r.number for r in found] == [f"B{i}" for i in range(30)]
    assert peak == 4
    mixed = one.predict_batch([document(1), Example(pdf_path="missing.pdf"), document(2)], on_error="return")
    assert isinstance(mixed[1], DatasetError)
    assert mixed[2].number == "B2"
    with pytest.raises(DatasetError, match=r"missing\.pdf"):
        one.predict_batch([Example(pdf_path="missing.pdf")])


def test_a_batch_whose_documents_cannot_be_listed_fails_and_is_never_cut_short():
    def broken():
        yield document(1)
        raise OSError("the folder is gone")

    for on_error in ("raise", "return"):
        with pytest.raises(OSError, match="the folder is gone"):
            prompter().predict_batch(broken(), on_error=on_error)
    with pytest.raises(ConfigurationError, match="at least 1, not -1"):
        prompter().predict_batch([document(1)], max_workers=-1)
    with pytest.raises(ConfigurationError, match="list of documents"):
        prompter().predict_batch(document(1))


def test_a_batch_that_is_left_or_fails_stops_what_is_under_way():
    ended = []

    async def reply(number):
        try:
            await asyncio.sleep(5 * (number > 0))
        except asyncio.CancelledError:
            ended.append(number)
            raise
        if number == 0 and failing:
            raise ValueError("no")
        return number

    async def leave():
        async with contextlib.aclosing(loop.finished(map(reply, range(9)), 3)) as tasks:
            async for task in tasks:
                assert task.result() == 0
                break
        await asyncio.sleep(0)

    failing = False
    loop.run(leave())
    assert sorted(ended) == [1, 2]
    failing = True
    with pytest.raises(ValueError, match="no"):
        loop.run(loop.all_of(map(reply, range(9)), 3))


def test_an_example_is_a_document_wherever_one_is_read():
    one = Example(text=document(4))
    assert prompter().predict(one).number == "B4"
    assert next(reversed(list(prompter().stream(one)))).number == "B4"
    with pytest.raises(DatasetError, match="not Example"):
        asyncio.run(prompter().apredict(one, pdf_dpi=100))
    with pytest.raises(DatasetError, match="not int"):
        prompter().predict(5)


def test_async_reading():
    async def both():
        one = prompter()
        return await one.apredict(document(1)), await one.apredict_batch([document(2)])

    first, second = asyncio.run(both())
    assert (first.number, second[0].number) == ("B1", "B2")


def test_a_stream_gives_partial_records_and_then_the_record():
    one = engine.Prompter(Bill, ScriptedLM(reads))
    items = list(one.stream(document(1)))
    assert type(items[-1]) is Bill
    assert all(isinstance(item, dict) for item in items[:-1])


def test_a_stream_leaves_the_callers_model_alone():
    theirs = ScriptedLM(reads)
    with engine.context(lm=theirs):
        items = prompter().stream(document(1))
        next(items)
        assert current().lm is theirs
        items.close()
    assert current().lm is not theirs


def test_confidence_is_the_agreement_of_answers_and_can_be_calibrated():
    def wavering(request):
        n = int(re.search(r"Invoice b(\d+)", shown(request)[1])[1])
        draws[n] = draws.get(n, -1) + 1
        unsure = n % 2 and draws[n] % 2
        return {"record": json.dumps({"number": f"b{n}", "total": 0 if unsure or n % 2 else n + 20})}

    draws = {}
    one = prompter(wavering)
    bare = one.predict_with_confidence(document(2))
    assert bare.data.number == "B2"
    assert bare.confidence == 1
    assert "not calibrated" in bare.method
    assert bare.by_field["total"] == 1
    found = one.calibrate(examples(10))
    assert found.rows == 10
    sure = one.predict_with_confidence(document(4))
    assert "calibrated on 10 rows" in sure.method
    assert 0 < sure.confidence < 1


def test_confidence_by_the_probabilities_of_the_models_tokens():
    content = json.dumps({"number": "b7", "total": 12})
    message = {"role": "assistant", "content": f"[[ ## record ## ]]\n{content}\n\n[[ ## completed ## ]]"}
    tokens = {"content": [{"token": "a", "logprob": 0.0}, {"token": "b", "logprob": -1.0}]}

    def answer(body):
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"choices": [choice | ({"logprobs": tokens} if sure else {})], "model": "m"}

    sure = True
    with OpenAIServer(answer) as server:
        lm = engine.LM("openai/m", api_base=server.url, api_key="k", cache=False)
        one = engine.Prompter(Bill, lm=lm)
        found = one.predict_with_confidence(document(2), method="logprobs")
        assert server.requests[-1]["logprobs"] is True
        assert found.data.number == "B7"
        assert found.confidence == pytest.approx(math.exp(-0.5))
        assert "robabilit" in found.method
        sure = False
        with pytest.raises(ConfigurationError, match='method="samples"'):
            one.predict_with_confidence(document(2), method="logprobs")


def test_rows_that_fail_are_left_out_of_a_calibration():
    rows = [Example(text=document(1)), Example(pdf_path="missing.pdf", expected_output="{}"), *examples(4)]
    found = prompter().calibrate(rows, samples=2)
    assert found.rows == 4
    with pytest.raises(ConfigurationError, match="Row 1: it has no expected output"):
        prompter().calibrate(rows[:1], samples=2)


def test_a_right_answer_as_json_may_name_fields_by_name_or_alias():
    class Due(BaseModel):
        total: float = Field(alias="totalDue")

    assert [label_values(text, Due) for text in ('{"total": 3}', '{"totalDue": 3}')] == [{"total": 3.0}] * 2


def test_a_folder_keeps_everything(tmp_path):
    one = prompter(system_prompt="Read {kind}.")
    rows = [
        Example(
            text={"text": document(i), "kind": "bills"}, expected_output={"number": f"B{i}", "total": i + 20}
        )
        for i in range(6)
    ]
    result = one.optimize(rows, optimizer="fieldbyfield")
    one.calibrate(rows, samples=2)
    one.save(tmp_path / "saved")
    other = engine.Prompter.load(tmp_path / "saved", Bill, lm=one.lm)
    assert other.calibration == one.calibration
    assert other.program.candidate().id == one.program.candidate().id
    assert other.predict({"text": document(3), "kind": "bills"}).total == 23
    renamed = engine.Prompter.load(tmp_path / "saved", Bill, lm=one.lm, instruction_prompt="Read on.")
    assert renamed.instruction_prompt == "Read on."
    again = engine.Prompter.from_optimization_result(Bill, result, one.lm)
    assert again.optimized_descriptions == one.optimized_descriptions


@pytest.mark.parametrize(
    "change",
    [
        {"tuned": {}},
        {"tuned": {"steps": {"read": {"instructions": 3}}}},
        {"tuned": {"steps": {"other": {"instructions": "Read."}}}},
        {"system_prompt": 3},
        {"calibration": {"points": 5}},
    ],
    ids=str,
)
def test_a_damaged_folder_is_one_error_that_names_it(tmp_path, change):
    prompter().save(tmp_path)
    file = tmp_path / "prompter.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ProgramFileError, match=re.escape(str(tmp_path))):
        engine.Prompter.load(tmp_path, Bill)


def write_theirs(folder, **state):
    """Write a folder as DSPydantic 0.1.6 does."""
    metadata = {"version": "0.1.6", "model_id": "", "model_config": {}, "metadata": {}}
    for name, data in (
        ("dspydantic_metadata.json", metadata),
        ("optimized_state.json", {f"optimized_{key}": value for key, value in state.items()}),
        ("model_schema.json", Bill.model_json_schema()),
    ):
        (folder / name).write_text(json.dumps(data))


def test_folders_of_dspydantic_are_read_and_other_major_versions_refused(tmp_path):
    demo = {"input_data": {"text": document(7)}, "expected_output": {"number": "B7", "total": 27}}
    write_theirs(
        tmp_path,
        descriptions={"total": RULE, "items.price": "Net."},
        system_prompt="Read.",
        instruction_prompt="A bill.",
        demos=[demo],
    )
    one = engine.Prompter.load(tmp_path, Bill, lm=ScriptedLM(reads))
    assert one.predict(document(3)).total == 23
    assert one.optimized_descriptions["items.price"] == "Net."
    assert one.optimized_system_prompt == "Read."
    assert document(7) in str(one.lm.requests[0].messages)
    (tmp_path / "dspydantic_metadata.json").write_text('{"version": "1.0.0"}')
    with pytest.raises(ProgramFileError, match=r"DSPydantic 1\.0\.0"):
        engine.Prompter.load(tmp_path, Bill)
    with pytest.raises(ProgramFileError, match="no saved Prompter"):
        engine.Prompter.load(tmp_path / "nowhere", Bill)


def test_optimized_parts_are_taken_over():
    one = prompter(
        optimized_descriptions={"total": RULE},
        optimized_demos=[{"document": "d", "record": {"number": "1", "total": 1}}],
    )
    assert one.predict(document(2)).total == 22
    with pytest.raises(ConfigurationError, match=r"no field .record\.sum."):
        prompter(optimized_descriptions={"sum": "x"})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: engine.Prompter(dict), "must be a Pydantic class"),
        (lambda: engine.Prompter(Bill, optimised="x"), "takes no 'optimised'"),
        (lambda: engine.Prompter(Bill, ScriptedLM([]), model_id="x"), "not both"),
        (lambda: prompter().optimize([], seed=1), "no example"),
        (lambda: prompter().optimize(examples(3), trainsplit=1), "takes no 'trainsplit'"),
        (lambda: prompter().optimize(examples(3), train_split=2), "'train_split' does not fit"),
        (lambda: engine.Prompter(Bill).optimize(examples(3)), "has no model"),
    ],
)
def test_bad_arguments_have_one_clear_message(make, said):
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        make()


def test_evidence_says_where_a_value_stands():
    found = prompter().predict_with_evidence(document(1))
    places = {one.path: one for one in found.evidence}
    assert (places["number"].line, places["total"].quote) == (1, "11")
    assert places["currency"].marked  # the class's default stands nowhere


def test_long_documents_are_read_in_parts_and_joined():
    def items(request):
        names = re.findall(r"item (\w+)", shown(request)[1])
        return {
            "record": json.dumps(
                {"number": "B1", "total": 1, "items": [{"name": n, "price": 1} for n in names]}
            )
        }

    one = prompter(items)
    one.program.longest = 3000
    pages = "\f".join(f"item a{n} " + 300 * "word " for n in range(5))
    assert [item.name for item in one.predict(pages).items] == [f"a{n}" for n in range(5)]
    assert len(one.lm.requests) > 1


class Receipt(BaseModel):
    total: int
    shop: str = ""


class Parcel(BaseModel):
    weight: float


def test_a_folder_is_loaded_with_the_class_it_was_saved_with(tmp_path, caplog):
    prompter().save(tmp_path / "records")
    engine.Prompter(None, ScriptedLM([])).save(tmp_path / "text")
    engine.Prompter.load(tmp_path / "records", Receipt)
    assert "Only in the folder: currency, day, items, number. Only in the class: shop." in caplog.text
    for folder, given, said in (
        (
            "records",
            Parcel,
            "for records of Bill with the fields currency, day, items, number, total, and Parcel has none",
        ),
        ("records", None, r"Give the class too, as in Prompter.load\(folder, Bill\)"),
        ("text", Parcel, "answers in text. Load it without Parcel"),
    ):
        with pytest.raises(ProgramFileError, match=said):
            engine.Prompter.load(tmp_path / folder, given)
    assert engine.Prompter.load(tmp_path / "text").model is None


def test_a_folder_of_dspydantic_with_a_key_that_the_class_does_not_have_is_read(tmp_path, caplog):
    write_theirs(tmp_path, descriptions={"total": "With tax.", "gone": "Old."})
    assert engine.Prompter.load(tmp_path, Bill).optimized_descriptions["total"] == "With tax."
    assert "which are left out: gone." in caplog.text


class Note(BaseModel):
    total: int | None = None
    due: str | None = None
    tax: int | None = None


def test_results_by_field_tell_wrong_missing_and_invented_values_apart():
    answer = {"record": {"total": 1, "due": "soon"}}
    rows = [Example(text=f"No. {n}", expected_output={"total": 2, "tax": 3}) for n in range(10)]
    one = prompter(lambda _request: answer, Note)
    found = one.optimize(rows, optimizer="labeledfewshot", frozen=("demos",)).field_scores
    counts = {path: (s.after, s.wrong, s.missing, s.invented) for path, s in found.items()}
    assert counts == {"total": (0, 2, 0, 0), "due": (0, 0, 0, 2), "tax": (0, 0, 2, 0)}


def test_autotune_shows_rows_that_lack_an_optional_input_as_examples():
    """The rows have no pictures, which the step may read too."""

    def answer(request):
        solved = len(request.messages) > 2
        return {"record": {"total": 2 if solved else 1}}

    rows = [Example(text=f"No. {n}", expected_output={"total": 2}) for n in range(50)]
    found = prompter(answer, Receipt).optimize(rows, optimizer="autotune", budget=engine.Budget(calls=300))
    assert (found.baseline_score, found.optimized_score) == (0.5, 1)
    assert found.optimized_demos


@pytest.mark.parametrize(
    ("rows", "first"), [(2, "Descriptions"), (12, "Descriptions"), (30, "Autotune, then descriptions")]
)
def test_the_optimizer_follows_the_number_of_rows(rows, first):
    given = [Example(text=f"No. {n}", expected_output={"total": 2}) for n in range(rows)]
    found = prompter(lambda _request: {"record": {"total": 2}}, Receipt).optimize(given)
    assert found.advice.startswith(first)


@pytest.mark.parametrize("text", [None, "", " \n\t", {"text": " "}])
def test_a_document_without_a_word_is_empty(text):
    with pytest.raises(DatasetError, match="The document is empty"):
        prompter().predict(text)
