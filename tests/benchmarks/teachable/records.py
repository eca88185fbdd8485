"""A stand-in model that reads records out of labelled documents, as a server of its own; and the two sets it is measured on.

It knows what kind of value a field has and takes a plausible one, often the wrong one of several. It learns the right label from
solved documents in the prompt, and from a description that names the label in quotes. Asked for a better description it names
a label only where the prompt shows it a right value in its passage. It reads the prompts of this engine and of DSPydantic,
and knows nothing else of either. What it shows is how much of what it is told reaches it, not how good real models are.
"""

from __future__ import annotations

import contextlib
import csv
import json
import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks"), str(ROOT / "tests")]

from sample_data.invoices import MONTHS

INVOICES = {
    "number": "id",
    "date": "date",
    "due": "date",
    "total": "amount",
}
PARCELS = {
    "reference": "id",
    "shipped": "date",
    "arrives": "date",
    "sender.city": "text",
    "recipient.city": "text",
    "charged_weight": "amount",
}
_DATE = re.compile(
    rf"\d{{4}}-\d\d-\d\d|\d\d\.\d\d\.\d{{4}}|\d\d/\d\d/\d{{4}}|\d{{1,2}} (?:{'|'.join(MONTHS)}) \d{{4}}"
)
_AMOUNT = re.compile(r"(?<![\w.,/-])\d[\d.,]*\d(?![\w/-])|(?<![\w.,/-])\d(?![\w/.-])")
_ID = re.compile(r"\b(?:[A-Z]{2,4}[- /]?)?\d{4,6}\b")
_HEADER = re.compile(r"\[\[ ## (\w+) ## \]\]\n?")


def invoices() -> list[tuple[str, dict[str, Any]]]:
    """Return the sample's documents of one page whose values have labels (letters have none), with the answers that are measured."""
    rows = []
    with (ROOT / "sample_data" / "invoices.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            answer: dict[str, Any] = {name: row[f"correct_{name}"] or None for name in INVOICES}
            answer["total"] = float(answer["total"]) if answer["total"] else None
            if "\f" not in row["document"] and "Dear customer" not in row["document"]:
                rows.append((row["document"], answer))
    return rows


def parcels(n: int = 90) -> list[tuple[str, dict[str, Any]]]:
    """Return notices of parcels: two places, two dates, two weights."""
    rng = random.Random(7)
    towns = ["Graz", "Linz", "Wels", "Bonn", "Kiel", "Ulm", "Trier", "Hamm", "Bern", "Chur", "Thun", "Sion"]
    rows = []
    for i in range(n):
        start, end = rng.sample(towns, 2)
        day, weight = rng.randint(1, 20), rng.randint(10, 90) / 10
        lines = [
            f"Order: PO-{rng.randint(10000, 99999)}",
            f"Consignment: {40000 + i}",
            f"Handed in: 2026-03-{day:02}",
            f"Delivery: 2026-03-{day + 3:02}",
            f"From: {start}",
            f"To: {end}",
            f"Weight: {weight}",
            f"Charged for: {weight + 0.5:.1f}",
            f"Insured up to: {rng.randint(50, 900)}",
        ]
        rng.shuffle(lines)
        answer = {
            "reference": str(40000 + i),
            "shipped": f"2026-03-{day:02}",
            "arrives": f"2026-03-{day + 3:02}",
            "sender": {"city": start},
            "recipient": {"city": end},
            "charged_weight": round(weight + 0.5, 1),
        }
        rows.append(("\n".join(lines), answer))
    return rows


SETS = {"invoices": (INVOICES, invoices), "parcels": (PARCELS, parcels)}

# Values


def value_in(text: str, kind: str, *, last: bool = False) -> Any:
    """Return a text's first (or last) value of a kind, None where it has none."""
    if kind == "text":
        return text.strip(" :.").strip() or None
    pattern = {"date": _DATE, "amount": _AMOUNT, "id": _ID}[kind]
    found = pattern.findall(text)
    if not found:
        return None
    return _read(found[-1 if last else 0], kind)


def _read(text: str, kind: str) -> Any:
    if kind == "amount":
        digits = text.replace(",", ".")
        whole, _, cents = digits.rpartition(".")
        return float(
            f"{whole.replace('.', '')}.{cents}" if len(cents) <= 2 and whole else digits.replace(".", "")
        )
    if kind == "date":
        if re.match(r"\d{4}-", text):
            return text
        if "." in text:
            day, month, year = text.split(".")
        elif "/" in text:
            month, day, year = text.split("/")
        else:
            day, name, year = text.split()
            month = str(MONTHS.index(name) + 1)
        return f"{year}-{int(month):02}-{int(day):02}"
    return text


def flat(record: Any, path: str = "") -> dict[str, Any]:
    """Return a record's values by path."""
    if not isinstance(record, dict):
        return {path: record}
    return {
        p: v
        for name, value in record.items()
        for p, v in flat(value, f"{path}.{name}" if path else name).items()
    }


def label_before(text: str, value: Any, kind: str) -> str:
    """Return the label of the line in which a value stands, "" where there is none."""
    for line in text.splitlines():
        label, between, rest = _divided(line)
        if between and value is not None and value_in(rest, kind) == value:
            return label
    return ""


def _divided(line: str) -> tuple[str, str, str]:
    """Return a line's label, what divides it from the value, and the value: "Total EUR   12,50", "Date: ..."."""
    found = re.match(r"\s*([A-Z][A-Za-z. ]*?)(?: [A-Z]{3})?(:\s*|\s{2,})(.*)$", line)
    return (found[1].strip(), found[2], found[3]) if found else ("", "", "")


# The model


class Reader:
    """Answers one request."""

    def __init__(self, body: dict[str, Any]) -> None:
        messages = body["messages"]
        self.system = "\n".join(m["content"] for m in messages if m["role"] == "system")
        self.turns = [m for m in messages if m["role"] != "system"]
        self.last = self.turns[-1]["content"]
        self.text = f"{self.system}\n{self.last}"

    def answer(self) -> str:
        """Return the reply in the layout asked for."""
        asked = self._asked()
        texts = {}
        for name in asked:
            if name == "reasoning":
                texts[name] = "It follows from the document."
            elif name in ("record", "json_output"):
                texts[name] = json.dumps(self.record())
            else:
                texts[name] = self.description()
        return "\n\n".join([*(f"[[ ## {n} ## ]]\n{t}" for n, t in texts.items()), "[[ ## completed ## ]]"])

    def _asked(self) -> list[str]:
        part = re.split(r"You write these output fields:|Your output fields are:", self.system)[-1]
        return re.findall(r"^\d+\. `(\w+)`", part, re.MULTILINE)

    def record(self) -> dict[str, Any]:
        """Return the record of the document."""
        schema = self._schema()
        fields = PARCELS if "consignment" in self._document().lower() else INVOICES
        described, labels = flat(_descriptions(schema, schema.get("$defs", {}))), self._shown(fields)
        found: dict[str, Any] = {}
        for path, kind in fields.items():
            named = re.findall(r"\"([^\"]+)\"", str(described.get(path) or ""))
            at = found
            *parents, last = path.split(".")
            for parent in parents:
                at = at.setdefault(parent, {})
            at[last] = self._value(path, kind, named or labels.get(path, []))
        return found

    def _value(self, path: str, kind: str, labels: list[str]) -> Any:
        lines = self._document().splitlines()
        for label in labels:
            for line in lines:
                own, between, rest = _divided(line)
                if between and own.lower() == label.lower():
                    return value_in(rest, kind)
        if labels and kind != "id":
            return None
        # Untaught it takes the last value of the kind: the balance, the day of payment, the order's number.
        if kind == "text":
            values = [
                rest
                for line in lines
                for own, between, rest in [_divided(line)]
                if between and not re.search(r"\d", rest)
            ]
            return values[-1].strip() if values else None
        found = [value_in(line, kind, last=True) for line in lines]
        return next((value for value in reversed(found) if value is not None), None)

    def _document(self) -> str:
        parts = _HEADER.split(self.last)
        sections = dict(zip(parts[1::2], parts[2::2], strict=False))
        if "document" in sections:
            return sections["document"].split("\n\nNow write")[0]
        return (
            self.last.rpartition("Input text: ")[2]
            .split("\n\n\nExtract the structured")[0]
            .split("\n\nExtract the")[0]
        )

    def _schema(self) -> dict[str, Any]:
        lead = re.search(r"fits this schema: |JSON Schema:\s*", self.text)
        if lead is None:
            return {}
        schema: dict[str, Any] = json.JSONDecoder().raw_decode(self.text[lead.end() :])[0]
        return schema

    def _shown(self, fields: dict[str, str]) -> dict[str, list[str]]:
        """Return the labels that solved documents in the prompt give away, by path, the most frequent first."""
        counts: dict[str, Counter[str]] = {path: Counter() for path in fields}
        for text, right in self._solved():
            values = flat(right)
            for path, kind in fields.items():
                if label := label_before(text, values.get(path), kind):
                    counts[path][label] += 1
        return {
            path: [label for label, _ in counter.most_common()] for path, counter in counts.items() if counter
        }

    def _solved(self) -> list[tuple[str, Any]]:
        found = []
        for ask, reply in zip(self.turns[:-1:2], self.turns[1::2], strict=False):
            given = dict(
                zip(_HEADER.split(ask["content"])[1::2], _HEADER.split(ask["content"])[2::2], strict=False)
            )
            said = dict(
                zip(
                    _HEADER.split(reply["content"])[1::2], _HEADER.split(reply["content"])[2::2], strict=False
                )
            )
            with contextlib.suppress(ValueError, KeyError):
                found.append((given["document"], json.loads(said["record"])))
        for text, output in re.findall(
            r"Input: (.*?)\n    Output: (\{.*\})", self.last, re.DOTALL | re.MULTILINE
        ):
            for one, right in [(text, output.split("\n")[0])]:
                with contextlib.suppress(ValueError):
                    found.append((one, json.loads(right)))
        return found

    def description(self) -> str:
        """Return a better description, or better instructions: with the labels before the right values, where these are shown."""
        sections = _HEADER.split(self.last)
        given = dict(zip(sections[1::2], sections[2::2], strict=False))
        field = given.get("field", "").strip()
        if not field or "wrong_values" not in given:
            name = given.get("field_name", field or "the record").strip()
            return f"The exact value of {name}, as written in the document."
        fields = {**INVOICES, **PARCELS}
        path = field.partition(".")[2]
        cases = json.JSONDecoder().raw_decode(given["wrong_values"].strip())[0]
        counts: Counter[str] = Counter()
        for case in cases:
            expected = case["expected"]
            while isinstance(expected, dict):
                expected = next(iter(expected.values()), None)
            if label := label_before(case["passage"], expected, fields.get(path, "text")):
                counts[label] += 1
        named = " or ".join(f'"{label}"' for label, _ in counts.most_common())
        return (
            f"The value after {named}; null where there is none."
            if named
            else given.get("current_description", "").split("\n\n")[0].strip() or "As written."
        )


def _descriptions(schema: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the descriptions of a schema's properties, nested as they are."""
    found: dict[str, Any] = {}
    for name, part in schema.get("properties", {}).items():
        options = [part, *part.get("anyOf", []), *part.get("allOf", [])]
        inside: dict[str, Any] = {}
        for one in options:
            target = definitions.get(one["$ref"].rpartition("/")[2], {}) if "$ref" in one else one
            inside |= _descriptions(target, definitions)
        found[name] = inside or part.get("description", "")
    return found


if __name__ == "__main__":
    from support.servers.openai_server import main

    main(lambda body: Reader(body).answer())
