"""What is doubtful in a table is found by row, with fixes that mend it, and without false alarm on the samples."""

from __future__ import annotations

import random
import time

import pytest

from engine.basics.similarity import odd_labels
from engine.dataset import guess_roles, profile, read_dataset
from engine.dataset.preflight import Table, _telling_columns, preflight
from engine.dataset.profiling import role_doubts
from engine.pipeline.templates import SAMPLES, get_sample
from engine.runs.spec import sample_bytes

BASE = (
    ("the bill is wrong and i was charged twice by you", "billing"),
    ("where is my parcel it has not arrived yet", "shipping"),
    ("i cannot log in with my password", "security"),
)
EXTRA = [
    "please",
    "today",
    "again",
    "urgent",
    "hello",
    "thanks",
    "kindly",
    "now",
    "still",
    "really",
    "maybe",
    "Monday",
    "Tuesday",
    "friend",
    "team",
]


def letters(rows=300, seed=3):
    rng = random.Random(seed)
    made = []
    for _ in range(rows):
        text, label = rng.choice(BASE)
        words = text.split()
        rng.shuffle(words)
        made.append((" ".join(words[:7] + rng.sample(EXTRA, 4)), label))
    return made


def table(rows, **changes):
    cells = {"text": [a for a, _ in rows], "label": [b for _, b in rows]}
    return Table(cells, ["text"], ["label"], **changes)


def found(rows, **changes):
    return {f.kind: f for f in preflight(table(rows, **changes))}


def mended(rows, fix):
    cells = [list(row) for row in rows]
    for (row, name), text in fix.replace.items():
        cells[row][0 if name == "text" else 1] = text
    return [tuple(c) for i, c in enumerate(cells) if i not in fix.exclude]


def test_good_rows_have_nothing_to_tell():
    assert not {"blank", "duplicate", "conflict", "outside", "spelling", "odd", "long"} & set(
        found(letters())
    )


def test_every_finding_is_mended_by_each_of_its_fixes():
    rows = letters()
    rows += [("", "billing"), (rows[0][0], rows[0][1]), (rows[1][0].upper(), "elsewhere" * 3)]
    rows += [(rows[2][0], "shipping" if rows[2][1] != "shipping" else "billing")]
    rows += [("one more letter about a parcel that is late", "Shiping"), ("x" * 90_000, "billing")]
    kinds = found(rows)
    assert {"blank", "duplicate", "conflict", "spelling", "long"} <= set(kinds)
    for kind in ("blank", "duplicate", "conflict", "spelling", "long"):
        assert kinds[kind].fixes
        for fix in kinds[kind].fixes:
            assert kind not in found(mended(rows, fix)), (kind, fix.label)


def test_an_answer_that_is_not_allowed_gets_the_nearest():
    rows = [*letters(40), ("another letter", "Biling "), ("yet another one", "zzz")]
    finding = found(rows, choices={"label": ("billing", "shipping", "security")})["outside"]
    assert finding.rows == (40, 41)
    assert dict(finding.fixes[0].replace) == {(40, "label"): "billing"}
    assert set(finding.fixes[1].exclude) == {40, 41}


def test_rows_left_out_and_optional_fields_are_not_looked_at():
    rows = [*letters(30), ("", "billing")]
    assert "blank" not in found(rows, left_out={30})
    assert "blank" not in found(rows, optional={"text"})


def test_a_test_row_that_nearly_repeats_another_is_a_leak():
    rows = letters(60)
    text, label = rows[5]
    rows.append((text.replace("e", "é", 1), label))
    assert found(rows, apart={60})["leak"].rows == (60,)
    assert "leak" not in found(rows, apart={5, 60})
    assert found(rows, apart={5, 60})["near"].rows == (60,)


def test_one_fix_of_near_rows_leaves_none():
    rows = letters(60)
    for i in range(
        12
    ):  # many copies of one row: only neighbours are compared, so one look does not see all pairs
        rows.append((f"{rows[5][0]}{'!' * i}{'?' * (i % 3)}", rows[5][1]))
    rows.append((rows[7][0].replace("e", "é", 1), rows[7][1]))
    findings = found(rows, apart={5, 72})
    assert {"leak", "near"} <= set(findings)
    out = set(findings["leak"].fixes[0].exclude)
    assert out >= set(findings["near"].rows)
    assert not {"near", "leak"} & set(found(rows, left_out=out, apart={1, 2, 3}))


def test_other_numbers_make_another_row():
    rows = [
        (f"what is {i} plus {i + 3} in words please", "billing" if i % 2 else "shipping") for i in range(60)
    ]
    assert not {"near", "leak"} & set(found(rows))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_wrong_labels_are_found_and_right_ones_are_not_accused(seed):
    rows = letters(600, seed)
    rng = random.Random(seed)
    flipped = rng.sample(range(600), 20)
    for i in flipped:
        rows[i] = (rows[i][0], rng.choice([label for _, label in BASE if label != rows[i][1]]))
    odd = set(found(rows)["odd"].rows)
    assert len(odd & set(flipped)) >= 12
    assert len(odd - set(flipped)) <= 2


def test_of_many_rows_twenty_thousand_are_judged_and_it_is_said():
    rows = letters(24_000, 1)
    rng = random.Random(1)
    flipped = rng.sample(range(0, 24_000, 2), 200)
    for i in flipped:
        rows[i] = (rows[i][0], rng.choice([label for _, label in BASE if label != rows[i][1]]))
    odd, looked_at = odd_labels([text for text, _ in rows], [label for _, label in rows])
    assert looked_at == 12_000
    assert len(odd.keys() & set(flipped)) >= 120
    assert len(odd.keys() - set(flipped)) <= 12
    assert all(rows[at][1] != other for at, other in odd.items())


def test_labels_that_do_not_follow_the_words_accuse_nobody():
    rng = random.Random(0)
    assert "odd" not in found([(text, rng.choice("abc")) for text, _ in letters(400)])


def test_rare_answers_are_told():
    rows = [*letters(90), ("call me", "other"), ("see you", "other")]
    finding = found(rows)["imbalance"]
    assert finding.rows == (90, 91)
    assert "other" in finding.sentence


@pytest.mark.parametrize("name", ["support_tickets", "reviews", "math_problems"])
def test_the_samples_are_nearly_clean(name):
    sample = get_sample(name)
    data = read_dataset(sample_bytes(sample.file), sample.file)
    spec = sample.pipeline
    cells = {f.name: data.values(sample.mapping[f.name]) for f in (*spec.inputs, *spec.outputs)}
    findings = preflight(
        Table(
            cells,
            [f.name for f in spec.inputs],
            [f.name for f in spec.outputs],
            {f.name: f.choices for f in spec.outputs if f.choices},
        )
    )
    assert sum(len(f.rows) for f in findings) <= 0.02 * len(data)


def test_a_hundred_thousand_rows_take_seconds_and_no_minutes():
    rng = random.Random(1)
    words = [f"word{i}" for i in range(300)]
    rows = [(" ".join(rng.sample(words, 10)), rng.choice("abcd")) for _ in range(100_000)]
    preflight(table(rows[:100]))
    before = time.process_time()
    preflight(table(rows))
    assert time.process_time() - before < 15.0


@pytest.mark.parametrize("text", ["", " ", "\x00", "🎛️" * 3000, "=cmd|' /C calc'!A0", "<script>", "שלום"])
def test_odd_texts_are_only_texts(text):
    preflight(table([*letters(30), (text, text)]))


def test_an_empty_table_has_nothing_to_tell():
    assert preflight(Table({"a": [], "b": []}, ["a"], ["b"])) == ()


def leaking(later: str, right: int = 100) -> list[dict[str, str]]:
    """Rows whose messages say little; `later` gives the answer in so many of a hundred rows."""
    rng = random.Random(5)
    rows = []
    for at in range(400):
        label = rng.choice(["billing", "shipping", "technical"])
        shown = label if rng.randrange(100) < right else rng.choice(["billing", "shipping", "technical"])
        words = {"billing": "money sent", "shipping": "parcel traced", "technical": "restart done"}[shown]
        message = " ".join(
            rng.sample("it does not work please help me since when again today still".split(), 5)
        )
        rows.append(
            {"message": f"{message} {at}", later: f"{words} for case {rng.randrange(9)}", "label": label}
        )
    return rows


def leak_of(rows: list[dict[str, str]]) -> dict[str, str]:
    cells = {name: [row[name] for row in rows] for name in rows[0]}
    found = preflight(Table(cells, [name for name in cells if name != "label"], ["label"]))
    return {f.title.split()[0]: f.sentence for f in found if f.kind == "column"}


@pytest.mark.parametrize("later", ["reply", "resolution", "ticket_status", "outcome"])
def test_an_input_that_comes_later_and_gives_the_answer_is_named(later: str):
    sentence = leak_of(leaking(later))[later]
    assert sentence.startswith(
        f"{later} alone tells label in 100 % of the rows; the other inputs tell it in "
    )
    assert "Its name says that it comes later." in sentence


def test_a_code_for_the_answer_is_named_although_its_name_says_nothing():
    rows = [
        {**row, "group": f"G{sorted(['billing', 'shipping', 'technical']).index(row['label'])}"}
        for row in leaking("note", 0)
    ]
    assert list(leak_of(rows)) == ["group"]


def test_an_input_that_helps_without_giving_the_answer_is_no_leak():
    assert leak_of(leaking("status", right=70)) == {}
    rng = random.Random(7)
    rows = [{**row, "label": rng.choice("ab"), "plan": rng.choice("xyz")} for row in leaking("status")]
    assert leak_of(rows) == {}


@pytest.mark.parametrize("name", [sample.name for sample in SAMPLES])
def test_no_column_of_a_sample_is_called_a_leak(name: str):
    sample = get_sample(name)
    data = read_dataset(sample_bytes(sample.file), sample.file)
    inputs = [f.name for f in sample.pipeline.inputs]
    outputs = [f.name for f in sample.pipeline.outputs]
    cells = {name: data.values(sample.mapping[name]) for name in (*inputs, *outputs)}
    assert [f.title for f in preflight(Table(cells, inputs, outputs)) if f.kind == "column"] == []
    columns = profile(data)
    assert role_doubts(columns, guess_roles(data, columns)) == {}


def test_leaks_of_a_thousand_rows_are_found_at_once():
    rows = [{**row, "plan": "x", "channel": "y"} for row in leaking("reply") * 3][:1000]
    cells = {name: [row[name] for row in rows] for name in rows[0]}
    table = Table(cells, [name for name in cells if name != "label"], ["label"])
    used = []
    for _ in range(5):
        started = time.process_time()
        assert list(_telling_columns(table, "label", range(len(rows))))
        used.append(time.process_time() - started)
    assert min(used) < 0.1
