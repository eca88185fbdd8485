"""A pipeline as data: what the forms edit, runs store and exports carry.

Steps run in order and are wired by field name: a step's input is either an input of the pipeline or an
output of an earlier step. A step asks a model, searches a corpus ("retrieve") or calls a tool ("tool"); it may
run only when a field has a certain value, or once for each item of a list. `engine.pipeline.build` makes a
program of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
)

from engine.basics.data import JsonObject
from engine.basics.text import LONGEST_NAME, cut
from engine.lm.choice import ModelChoice
from engine.signature.grammar import FieldType, read_field_type, read_type

Name = Annotated[str, AfterValidator(lambda name: cut(name, LONGEST_NAME))]
"""A name that is cut where it is read, so that a longer one in a file or an old draft stops no page."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldSpec(_Frozen):
    """One field of a step.

    `type` is written as in a signature string ("str", "int", "list[str]", "Literal['a', 'b']");
    `choices` makes it a Literal of these texts instead. With `fields` it holds a record of these, which `type` calls
    "record": "record", "list[record]", "Optional[record]".

    >>> line = FieldSpec(name="lines", type="list[record]", fields=(FieldSpec(name="price", type="float"),))
    >>> line.parsed_type.annotation.__args__[0](price=2).price
    2.0
    """

    name: Name
    type: str = "str"
    description: str = ""
    choices: tuple[str, ...] = ()
    fields: tuple[FieldSpec, ...] = ()

    @property
    def parsed_type(self) -> FieldType:
        """The type as a value; `type` is only stored and shown."""
        if self.fields:
            return _record_type(self, "")
        return read_field_type(self.type, self.choices)

    @model_serializer(mode="wrap")
    def _without_unused(self, usual: SerializerFunctionWrapHandler) -> JsonObject:
        return _without_empty(usual(self), "fields")


def _without_empty(found: JsonObject, name: str) -> JsonObject:
    """Leave out what only records have, so that files of other tasks stay as they were."""
    return {k: v for k, v in found.items() if v or k != name}


CHOICE = "choice"
"""Type of a field whose allowed values are still to be listed."""

RECORD = "record"
"""Name of a record in the type of a field that has `fields`."""


@lru_cache(maxsize=1024)
def _record_type(field: FieldSpec, inside: str) -> FieldType:
    """Return the type of a record; its class is named after the fields around it."""
    name = inside + "".join(part.capitalize() for part in field.name.split("_"))
    parts: JsonObject = {}
    for part in field.fields:
        kind = _record_type(part, name) if part.fields else part.parsed_type
        if kind.problem:
            return FieldType(field.type, None, problem=kind.problem)
        shown: JsonObject = {"description": part.description} if part.description else {}
        default = None if kind.optional else ...
        parts[part.name] = (kind.annotation, Field(default, **shown))
    config, doc = ConfigDict(protected_namespaces=()), field.description or None
    try:
        model = create_model(name or "Record", __config__=config, __doc__=doc, **parts)
    except (NameError, TypeError, ValueError) as error:  # a name that pydantic keeps for itself
        return FieldType(field.type, None, problem=f"{error}")
    return read_type(field.type, {RECORD: model})


Strategy = Literal[
    "predict",
    "chain_of_thought",
    "extract",
    "react",
    "program_of_thought",
    "best_of_n",
    "refine",
    "retrieve",
    "tool",
]
AdapterName = Literal["chat", "json", "xml", "two_step"]


class CorpusSpec(_Frozen):
    """Passages of a retrieve step: `passages` written here, or a `file` (CSV and its `column`, or a folder of texts).

    A table's column "title" is shown before each passage. `hash` is that of the passages when a run or a program was
    made with them, so that a changed file is noticed ("": as they are now).
    """

    passages: tuple[str, ...] = ()
    file: str = ""
    column: str = ""
    hash: str = ""


class Condition(_Frozen):
    """Run a step only when `field` has one of these values, compared as text (`negated`: none of them)."""

    field: str
    values: tuple[str, ...]
    negated: bool = False


class Each(_Frozen):
    """Run a step once for each item of the list `field`; the step reads the item as its input `item`.

    Its outputs come back as lists under their own names, in the order of the items.
    """

    field: str
    item: str


class StepOptions(_Frozen):
    """Options of the strategies; each reads its own.

    `tools` names what react may call (see `engine.pipeline.strategies.TOOLS`), `max_iters` is how many steps react, or
    tries program_of_thought, may take (0: their default). best_of_n and refine make up to `tries` answers and stop at one
    that a judge, going by `criteria`, rates at `threshold` (0 to 1) or more. retrieve finds the `k` passages of `corpus`
    nearest to its first input, with `retriever`. tool calls the one tool in `tools` with its inputs as arguments.
    """

    tools: tuple[str, ...] = ()
    max_iters: int = Field(default=0, ge=0, le=100)
    tries: int = Field(default=3, ge=1, le=50)
    threshold: float = Field(default=0.9, ge=0, le=1)
    criteria: str = ""
    corpus: CorpusSpec = CorpusSpec()
    k: int = Field(default=3, ge=1, le=100)
    retriever: Literal["bm25", "embeddings"] = "bm25"


def _from_name(value: object) -> object:
    return (ModelChoice(name=value) if value.strip() else None) if isinstance(value, str) else value


def _to_name(choice: ModelChoice | None) -> str | dict[str, object]:
    """Return a model without settings as its name, as files had it before steps could say more."""
    if choice is None:
        return ""
    named = choice.model_dump(exclude_none=True)
    return named if len(named) > 1 else choice.name


StepModel = Annotated[
    ModelChoice | None,
    BeforeValidator(_from_name),
    PlainSerializer(_to_name, return_type=str | JsonObject),
]
"""A step's own model, given by its name or with its address and settings; None ("" in a file): no own one."""


class StepSpec(_Frozen):
    """One step: a signature and a strategy for answering it; see `Condition` and `Each` for `when` and `each`.

    `adapter` is this step's own message layout; None: the run's. `model` is the model that answers this step (None:
    the run's), `extraction_model` the one that takes the fields out of a two-step layout's free answer (None: the one
    that wrote it). Either is given by its name alone ("openai/gpt-4o-mini") or as a ModelChoice with address and
    settings, and kept here whole: so a step means the same wherever its pipeline goes, whatever becomes of a list of
    models elsewhere. `use_native_function_calling` says whether a layout leaves tools to the model's own calls (None:
    as the layout does). `source` is the text of the Python class that the outputs were read from. It is never run
    here; it goes along so that an export can carry the class's validators.
    """

    name: Name = "answer"
    strategy: Strategy = "predict"
    options: StepOptions = StepOptions()
    instructions: str = ""
    inputs: tuple[FieldSpec, ...] = ()
    outputs: tuple[FieldSpec, ...] = ()
    when: Condition | None = None
    each: Each | None = None
    model: StepModel = None
    adapter: AdapterName | None = None
    extraction_model: StepModel = None
    use_native_function_calling: bool | None = None
    source: str = ""

    @model_serializer(mode="wrap")
    def _without_unused(self, usual: SerializerFunctionWrapHandler) -> JsonObject:
        return _without_empty(usual(self), "source")

    @property
    def models(self) -> tuple[ModelChoice, ...]:
        """The models that are the step's own."""
        return tuple(m for m in (self.model, self.extraction_model) if m is not None)

    @property
    def answers(self) -> tuple[FieldSpec, ...]:
        """The outputs of one run of the step; a search and a tool have a default one where none is named."""
        return self.outputs or OWN_OUTPUTS.get(self.strategy, ())

    @property
    def makes(self) -> tuple[FieldSpec, ...]:
        """The fields for later steps: its answers, as lists where it runs for each item of one."""
        return self.answers if self.each is None else tuple(map(listed, self.answers))

    @property
    def needs(self) -> tuple[FieldSpec, ...]:
        """The fields that the step takes from the pipeline: its inputs, with the list in the place of its item."""
        if self.each is None:
            return self.inputs
        needed: dict[str, FieldSpec] = {}
        for f in self.inputs:
            field = listed(f.model_copy(update={"name": self.each.field})) if f.name == self.each.item else f
            needed.setdefault(field.name, field)
        return tuple({**needed, **{f.name: f for f in self.inputs if f.name != self.each.item}}.values())


OWN_OUTPUTS: dict[str, tuple[FieldSpec, ...]] = {
    "retrieve": (FieldSpec(name="passages", type="list[str]"),),
    "tool": (FieldSpec(name="result"),),
}
"""Outputs of the strategies that ask no model, where a step names none."""


def listed(field: FieldSpec) -> FieldSpec:
    """Return a field that holds a list of what this one holds.

    >>> listed(FieldSpec(name="tag", choices=("a", "b"))).type
    "list[Literal['a', 'b']]"
    """
    inside = f"Literal[{', '.join(map(repr, field.choices))}]" if field.choices else field.type
    return field.model_copy(update={"type": f"list[{inside}]", "choices": ()})


class PipelineSpec(_Frozen):
    """Steps in order."""

    steps: tuple[StepSpec, ...] = Field(default=(StepSpec(),), min_length=1)

    @property
    def inputs(self) -> tuple[FieldSpec, ...]:
        """Fields the pipeline needs from outside, in order of first use."""
        outputs_so_far: set[str] = set()
        needed: dict[str, FieldSpec] = {}
        for step in self.steps:
            for f in step.needs:
                if f.name not in outputs_so_far:
                    needed.setdefault(f.name, f)
            outputs_so_far |= {f.name for f in step.makes}
        return tuple(needed.values())

    @property
    def outputs(self) -> tuple[FieldSpec, ...]:
        """Fields of the last step: what the pipeline answers."""
        return self.steps[-1].makes

    @property
    def has_record(self) -> bool:
        """True if the answer is a record: several fields, or fields inside."""
        return len(self.outputs) > 1 or any(f.fields for f in self.outputs)

    @property
    def models(self) -> tuple[ModelChoice, ...]:
        """Models that are steps' own, each once."""
        return tuple(dict.fromkeys(m for step in self.steps for m in step.models))

    def with_models(self, change: Callable[[ModelChoice], ModelChoice | None]) -> PipelineSpec:
        """Return the pipeline with every model of the steps' own changed, or taken out."""
        steps = []
        for step in self.steps:
            models = {"model": step.model, "extraction_model": step.extraction_model}
            steps.append(step.model_copy(update={k: change(m) for k, m in models.items() if m is not None}))
        return self.model_copy(update={"steps": tuple(steps)})


def holds(condition: Condition, values: Mapping[str, object]) -> bool:
    """Return whether a step with this condition runs, given the fields so far.

    Case and outer blanks do not count, and a field without a value is the empty text.

    >>> holds(Condition(field="ok", values=("true",)), {"ok": True})
    True
    >>> holds(Condition(field="plan", values=("Free",), negated=True), {"plan": "free"})
    False
    """
    return (plain(values.get(condition.field)) in _values(condition)) is not condition.negated


def exclude_each_other(one: Condition | None, other: Condition | None) -> bool:
    """Return whether two steps with these conditions (None: always) can never both run.

    >>> yes = Condition(field="ok", values=("yes",))
    >>> exclude_each_other(yes, yes.model_copy(update={"negated": True})), exclude_each_other(yes, None)
    (True, False)
    """
    if one is None or other is None or one.field != other.field or (one.negated and other.negated):
        return False
    if one.negated == other.negated:
        return not _values(one) & _values(other)
    asked, left_out = (other, one) if one.negated else (one, other)
    return _values(asked) <= _values(left_out)


def plain(value: object) -> str:
    """Return a value as conditions compare it.

    >>> plain(True), plain(3.0), plain(None), plain(" Yes ")
    ('true', '3', '', 'yes')
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip().casefold()


def _values(condition: Condition) -> frozenset[str]:
    return frozenset(map(plain, condition.values))
