from __future__ import annotations

import pytest

from engine.dataset import Dataset, guess_mapping, guess_roles, profile, read_dataset
from engine.dataset.profiling import likeness, role_doubts


def table(**columns: list[str]) -> Dataset:
    rows = [
        ",".join(columns),
        *(",".join(f'"{v}"' for v in row) for row in zip(*columns.values(), strict=True)),
    ]
    return read_dataset("\n".join(rows).encode(), "rows.csv")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2.5", "1,234", "0", ".5", "1e3"], "number"),
        (["007", "008", "009", "010"], "text"),
        (["yes", "No", "YES", "no"], "yes_no"),
        (["0", "1", "1", "0"], "yes_no"),
        (["1", "1", "1", "1"], "number"),
        (["a", "b", "a", "b"], "category"),
        (["same", "same", "same", "same"], "category"),
        (["2024-01-05", "2024-02-06 10:00", "2024-02-07T10:00:00Z"], "date"),
        (["05/01/2024", "06/01/2024"], "date"),
        (["[1]", "{}", "[]"], "json"),
        (["one thing", "another", "a third", "a fourth"], "text"),
        (["x" * 80, "x" * 80, "x" * 80, "x" * 80], "text"),
    ],
)
def test_kinds(values: list[str], kind: str):
    data = table(v=values, other=["z"] * len(values))
    assert profile(data)[0].kind == kind


def test_fill_rate_distinct_samples_and_top_values():
    data = table(a=["x", "", "y", " ", "x", "x"], b=["1", "2", "3", "4", "5", "6"], c=[""] * 6)
    a, b, c = profile(data)
    assert (a.filled, a.distinct, a.rows) == (0.5 + 1 / 6, 2, 6)
    assert a.samples == ("x", "y")
    assert a.top_values == (("x", 3), ("y", 1))
    assert a.few
    assert b.whole
    assert (c.kind, c.filled, c.samples) == ("empty", 0.0, ())


MESSAGES = [f"message number {i} about a thing" for i in range(12)]


@pytest.mark.parametrize(
    ("columns", "outputs", "ignored"),
    [
        ({"text": MESSAGES, "label": list("abc") * 4}, {"label"}, set()),
        (
            {
                "id": [f"u{i}" for i in range(12)],
                "message": MESSAGES,
                "plan": list("xyz") * 4,
                "queue": list("abc") * 4,
            },
            {"queue"},
            {"id"},
        ),
        (
            {"review": MESSAGES, "aspect": list("abcd") * 3, "sentiment": ["good", "bad"] * 6},
            {"aspect", "sentiment"},
            set(),
        ),
        ({"question": MESSAGES, "answer": [str(i) for i in range(12)]}, {"answer"}, set()),
        ({"zork": MESSAGES, "frob": ["p", "q"] * 6}, {"frob"}, set()),
        ({"frob": ["p", "q"] * 6, "zork": MESSAGES}, {"frob"}, set()),
        (
            {"body": MESSAGES, "nothing": [""] * 12, "const": ["k"] * 12, "is_spam": ["yes", "no"] * 6},
            {"is_spam"},
            {"nothing", "const"},
        ),
        ({"text": MESSAGES, "label": ["a"] * 12}, {"label"}, set()),
        (
            {"article": MESSAGES, "summary": [m[:9] for m in MESSAGES], "created_at": ["2024-01-01"] * 12},
            {"summary"},
            {"created_at"},
        ),
    ],
)
def test_roles(columns: dict[str, list[str]], outputs: set[str], ignored: set[str]):
    roles = guess_roles(table(**columns))
    assert {c for c, r in roles.items() if r == "output"} == outputs
    assert {c for c, r in roles.items() if r == "ignore"} == ignored
    assert "input" in roles.values()


def test_one_column_is_an_input():
    assert guess_roles(table(label=["a", "b"])) == {"label": "input"}


def test_mapping_by_case_punctuation_synonym_likeness_and_role():
    data = table(**{"Customer_Message": MESSAGES, "Categroy": list("abc") * 4, "Other": ["o", "p"] * 6})
    assert guess_mapping(data, ["customer message", "category"]) == {
        "customer message": "Customer_Message",
        "category": "Categroy",
    }
    assert guess_mapping(data, ["text"]) == {"text": "Customer_Message"}
    assert guess_mapping(data, ["price"]) == {}
    zork = table(zork=MESSAGES, frob=["p", "q"] * 6)
    assert guess_mapping(zork, ["text", "answer"], outputs=["answer"]) == {"text": "zork", "answer": "frob"}


def test_each_column_fills_one_field():
    data = table(question=MESSAGES, answer=list("abc") * 4)
    assert guess_mapping(data, ["question", "query", "answer"]) == {
        "question": "question",
        "answer": "answer",
    }


def test_likeness_orders_names_sensibly():
    assert likeness("supportTicket", "support_ticket") == 1.0
    assert likeness("ticket", "support ticket") > likeness("ticket", "message")
    assert likeness("age", "page") < 0.62


def test_77_categories_stay_categories():
    from engine.pipeline.infer import infer_pipeline

    labels = [f"intent {n}" for n in range(77)]
    rows = [{"text": f"message {i} says something", "intent": labels[i % 77]} for i in range(400)]
    data = table(text=[r["text"] for r in rows], intent=[r["intent"] for r in rows])
    found = profile(data)[1]
    assert (found.kind, found.few, len(found.top_values)) == ("category", True, 77)
    assert set(infer_pipeline(data).outputs[0].choices) == set(labels)
    names = table(text=[f"x{i}" for i in range(400)], intent=[f"name {i % 201}" for i in range(400)])
    assert profile(names)[1].kind == "text", "hardly one comes again"


def test_a_reply_next_to_a_label_is_no_input_and_is_asked_about():
    rows = "".join(f"Where is parcel {i}?,{'ab'[i % 2]},We sent parcel {i} again.\n" for i in range(12))
    data = read_dataset(f"ticket,label,reply\n{rows}".encode(), "x.csv")
    columns = profile(data)
    roles = guess_roles(data, columns)
    assert roles == {"ticket": "input", "label": "output", "reply": "ignore"}
    assert role_doubts(columns, roles) == {
        "reply": "Is 'reply' known before 'label'? It reads like an answer, too. Choose Input only if it is, "
        "Answer if the model should write it."
    }
    assert list(role_doubts(columns, {**roles, "reply": "input"})) == ["reply"]
    assert role_doubts(columns, {"ticket": "input", "label": "ignore", "reply": "output"}) == {}


def test_a_reply_alone_is_the_answer():
    data = table(message=MESSAGES, status=["open", "new"] * 6, reply=[m[::-1] for m in MESSAGES])
    roles = guess_roles(data)
    assert [column for column, role in roles.items() if role == "output"] != []
    assert guess_roles(table(message=MESSAGES, reply=[m[::-1] for m in MESSAGES]))["reply"] == "output"
    assert guess_roles(table(reply=MESSAGES, label=["a", "b"] * 6)) == {"reply": "input", "label": "output"}


def test_a_label_and_a_free_text_that_both_read_like_answers_are_asked_about():
    long = [f"{m} And so we wrote a long answer to it, which nobody will ever write again." for m in MESSAGES]
    data = table(text=MESSAGES, label=["a", "b"] * 6, response=long)
    columns = profile(data)
    assert list(role_doubts(columns, guess_roles(data, columns))) == ["response"]


@pytest.mark.parametrize("name", ["final_number", "number", "final", "correct_number"])
def test_a_last_column_of_numbers_is_the_answer(name: str):
    numbers = [str(i * 7 % 5) for i in range(12)]
    data = table(question=MESSAGES, **{name: numbers})
    assert guess_roles(data) == {"question": "input", name: "output"}
    assert (
        guess_roles(table(text=MESSAGES, label=["a", "b"] * 6, order_number=numbers))["order_number"]
        == "ignore"
    )


@pytest.mark.parametrize("name", ["customer_name", "manager", "order_ref", "product code", "guest"])
def test_names_and_codes_with_few_values_stay_text(name: str):
    from engine.pipeline.infer import infer_pipeline

    data = table(text=MESSAGES, **{name: ["Ada Holm", "Bela Okafor", "Cy Twombly"] * 4})
    field = infer_pipeline(data, {"text": "input", name: "output"}).outputs[0]
    assert (field.type, field.choices) == ("str", ())
    queue = infer_pipeline(table(text=MESSAGES, queue=["a", "b", "c"] * 4)).outputs[0]
    assert queue.choices == ("a", "b", "c")


def test_an_amount_with_a_unit_is_a_number_to_answer_and_a_text_to_read():
    from engine.pipeline.infer import infer_pipeline

    amounts = [f"{i}.{i}00,50 EUR" for i in range(1, 10)]
    data = table(text=MESSAGES[:9], fee=amounts, total=amounts)
    spec = infer_pipeline(data, {"text": "input", "fee": "input", "total": "output"})
    assert [f.type for f in spec.inputs] == ["str", "str"]
    assert (spec.outputs[0].type, spec.outputs[0].description) == ("float", "In EUR.")
