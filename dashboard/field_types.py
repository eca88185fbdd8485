"""Field types in plain words, and how a field is written down for them. No Streamlit in here."""

from __future__ import annotations

import re

from engine.pipeline.spec import FieldSpec

TYPES: dict[str, str] = {
    "Text": "str",
    "Text, or empty": "Optional[str]",
    "Whole number": "int",
    "Number": "float",
    "Yes or no": "bool",
    "One of a list": "choice",
    "List of texts": "list[str]",
    "List of numbers": "list[float]",
    "Names and values": "dict[str, str]",
    "Image": "Image",
    "Sound": "Audio",
    "PDF": "PDF",
    "File": "File",
    "Program code": "Code",
}
"""What a person chooses -> the type as a signature writes it ("choice": the field's `choices`)."""

MAY_BE_EMPTY = ", or empty"
"""What follows the title of a type whose cells may be empty."""

HELP = (
    "Text: any words. Text, or empty: rows without it are used too. Whole number: 3. Number: 3.5. Yes or no: true or false. One of a list: exactly one "
    "of the values you allow. List: several values. Names and values: a small record such as size: large. Image, PDF and File: uploaded, a path on this machine, a web address or "
    "a data URI. Sound: a path or a data URI. Program code: source text."
)


def title_of(field: FieldSpec) -> str:
    """Return a field's type in plain words; a type that has none is shown as it is written.

    >>> title_of(FieldSpec(name="queue", choices=("a", "b"))), title_of(FieldSpec(name="n", type="Optional[int]"))
    ('One of a list', 'Whole number, or empty')
    """
    if field.choices or field.type == "choice":
        return "One of a list"
    titles = {written: title for title, written in TYPES.items()}
    inner = re.fullmatch(r"Optional\[(.+)\]", field.type)
    if inner and field.type not in titles and inner[1] in titles:
        return titles[inner[1]] + MAY_BE_EMPTY
    return titles.get(field.type, field.type)


def with_type(field: FieldSpec, title: str) -> FieldSpec:
    """Return a field with the type a person chose; allowed values are kept only for "One of a list".

    >>> with_type(FieldSpec(name="n"), "Whole number, or empty").type
    'Optional[int]'
    """
    if title == "One of a list":
        return field.model_copy(update={"type": "str", "choices": field.choices or ("first", "second")})
    inner = TYPES.get(title.removesuffix(MAY_BE_EMPTY))
    optional = f"Optional[{inner}]" if inner and title.endswith(MAY_BE_EMPTY) else title
    return field.model_copy(update={"type": TYPES.get(title, optional), "choices": ()})


def read_choices(text: str) -> tuple[str, ...]:
    """Return the allowed values in a text: one a line, or separated by commas; no value twice.

    >>> read_choices("billing, shipping\\nother, billing")
    ('billing', 'shipping', 'other')
    """
    return tuple(dict.fromkeys(part.strip() for part in re.split(r"[,\n;]", text) if part.strip()))
