"""Outputs read from a server that decodes strictly by the schema it is sent, and knows nothing else of the task."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, HttpUrl
from support.servers.openai_server import OpenAIServer

import engine
from engine.adapters.json import JSONAdapter, response_format


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    due: dt.date | None = Field(description="When it is to be paid.")
    price: Annotated[Decimal, Field(ge=0, description="Net")]
    code: Annotated[str, Field(min_length=2, max_length=9)] | None = None


class Bill(BaseModel):
    issued: dt.datetime
    lines: list[Line]
    paid: dt.date | None = None


SCALARS: dict[str, Any] = {
    "date": dt.date,
    "datetime": dt.datetime,
    "time": dt.time,
    "timedelta": dt.timedelta,
    "Decimal": Decimal,
    "UUID": UUID,
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes,
    "Path": Path,
    "URL": HttpUrl,
    "IPv4": ipaddress.IPv4Address,
    "IPv6": ipaddress.IPv6Address,
    "Color": Color,
    "Literal": Literal["red", "blue"],
    "Bill": Bill,
}
TYPES = {
    **SCALARS,
    **{f"{name} | None": kind | None for name, kind in SCALARS.items() if name != "Literal"},
    **{f"list[{name}]": list[kind] for name, kind in SCALARS.items()},
    "date | int": dt.date | int,
    "date | Decimal | None": dt.date | Decimal | None,
    "list[date | None]": list[dt.date | None],
}


def decoded(schema: Mapping[str, Any], definitions: Mapping[str, Any], branch: int) -> Any:
    """Return a value that fits a schema: a text is the example of its description, if there is one."""
    if "$ref" in schema:
        return decoded(definitions[schema["$ref"].rpartition("/")[2]], definitions, branch)
    if "anyOf" in schema:
        return decoded(schema["anyOf"][branch], definitions, branch)
    if "enum" in schema:
        return schema["enum"][branch]
    if schema["type"] == "object":
        assert schema["required"] == [*schema["properties"]]
        return {name: decoded(part, definitions, branch) for name, part in schema["properties"].items()}
    if schema["type"] == "array":
        return [decoded(schema["items"], definitions, branch)] * 2
    if schema["type"] == "string":
        example = re.search(r" as in (\S+?)\.?(?= |$)", schema.get("description", ""))
        return example[1] if example else "text"
    return {"boolean": True, "integer": 4, "number": 12.5, "null": None}[schema["type"]]


def server(branch: int) -> OpenAIServer:
    def answer(body: dict[str, Any]) -> str:
        schema = body["response_format"]["json_schema"]["schema"]
        return json.dumps(decoded(schema, schema.get("$defs", {}), branch))

    return OpenAIServer(answer)


def signature_of(kind: Any) -> Any:
    return engine.make_signature({"text": (str, engine.InputField()), "value": (kind, engine.OutputField())})


@pytest.mark.parametrize("branch", [0, -1], ids=["first branch", "last branch"])
@pytest.mark.parametrize("name", TYPES)
def test_every_value_that_fits_the_schema_is_read(name: str, branch: int) -> None:
    with server(branch) as endpoint:
        lm = engine.LM(
            "openai/m",
            api_base=endpoint.url,
            api_key="k",
            cache=False,
            num_retries=0,
            capabilities=("json_schema",),
        )
        with engine.context(lm=lm, adapter=JSONAdapter()):
            step = engine.Predict(signature_of(TYPES[name]))
            result = engine.Evaluate(
                devset=[engine.Example(text="x").with_inputs("text")], metric=lambda row, answer: 1.0
            )(step)
    assert endpoint.calls == 1
    assert [outcome.error for outcome in result.outcomes] == [None]


def test_the_form_is_in_the_description_next_to_what_the_field_means() -> None:
    schema = response_format(signature_of(Bill))["json_schema"]["schema"]
    due = schema["$defs"]["Line"]["properties"]["due"]
    assert due["description"] == "When it is to be paid."
    assert due["anyOf"] == [{"type": "string", "description": "A date as in 2024-05-31."}, {"type": "null"}]
    assert (
        schema["$defs"]["Line"]["properties"]["code"]["anyOf"][0]["description"]
        == "Length at least 2, length at most 9."
    )
    assert schema["$defs"]["Line"]["properties"]["price"] == {
        "type": "number",
        "description": "Net. At least 0.",
    }
    assert "format" not in json.dumps(schema)
    plain = response_format(engine.make_signature("text -> day: Optional[date], n: int"))
    properties = plain["json_schema"]["schema"]["properties"]
    assert properties["day"]["anyOf"][0]["description"] == "A date as in 2024-05-31."
    assert properties["n"] == {"type": "integer"}


def test_the_rules_of_an_output_are_in_its_description() -> None:
    class Rated(engine.Signature):
        text: str = engine.InputField()
        stars: int = engine.OutputField(ge=1, le=5)
        code: str = engine.OutputField(pattern="^[A-Z]{2}$")

    properties = response_format(Rated)["json_schema"]["schema"]["properties"]
    assert properties["stars"] == {"type": "integer", "description": "At least 1, at most 5."}
    assert properties["code"]["description"] == "Matching the pattern ^[A-Z]{2}$."
