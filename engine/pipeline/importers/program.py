"""Runs a program with marked values in the place of answers, to see which step is given what. It calls no model."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from engine.adapters import ADAPTERS
from engine.basics.data import JsonObject, Values
from engine.errors import EngineError, PipelineError
from engine.lm.choice import ModelChoice
from engine.modules.best_of_n import BestOfN, Refine
from engine.modules.code_act import ProgramOfThought
from engine.modules.module import Module
from engine.modules.predict import ChainOfThought, Predict
from engine.modules.react import ReAct
from engine.modules.retrieve import Retrieve
from engine.modules.state import dump_lm
from engine.modules.step import FIELD
from engine.pipeline.build import Pipeline
from engine.pipeline.check import spec_problems
from engine.pipeline.corpora import CorpusRetriever
from engine.pipeline.spec import (
    AdapterName,
    Condition,
    CorpusSpec,
    Each,
    FieldSpec,
    PipelineSpec,
    StepOptions,
    StepSpec,
)
from engine.pipeline.strategies import TOOLS, CriteriaReward
from engine.retrieval.base import Retriever
from engine.signature import Signature
from engine.signature.grammar import type_text
from engine.signature.prediction import Prediction

MOST_RUNS = 64
_ITEMS = 2


class _Mark(str):
    """A text with its own identity, however often the same text occurs."""

    __slots__ = ()


class _Stand(Module):
    """Takes a step's place: notes what it is given, and gives marked values."""

    def __init__(self, run: _Run, step: StepSpec) -> None:
        super().__init__()
        self.run = [run]  # in a list, so that a copy of the program does not follow it
        self.step = step

    async def aforward(self, *args: object, **kwargs: object) -> Prediction:
        """Note the call, and answer with marks."""
        if args and self.step.strategy == "retrieve" and "query" not in kwargs:
            kwargs = {"query": args[0], **kwargs}
        return self.run[0].called(self.step, kwargs)


def _runs(program: Module, steps: dict[str, StepSpec], inputs: list[str]) -> Iterator[_Run]:
    """Yield a run for every combination of the closed fields' values that the program reaches."""
    waiting: list[dict[str, object]] = [{}]
    tried: list[dict[str, object]] = []
    closed = {f.name: _values(f) for step in steps.values() for f in step.answers}
    while waiting:
        run = _Run(program, steps, inputs, waiting.pop(0))
        tried.append(run.chosen)
        if len(tried) > MOST_RUNS:
            raise PipelineError(f"The program has more than {MOST_RUNS} ways to go, which a spec cannot say.")
        yield run
        for name in run.chosen:
            others = [{**run.chosen, name: value} for value in closed[name]]
            waiting += [other for other in others if other not in tried and other not in waiting]


class _Run:
    """One run of a program with marked values; `choices` are the values of its closed fields, the first where none is named.

    `calls` are the steps called, with (list, item) where one ran for each item of a list, `chosen` the values that were
    given for closed fields; `queries` and `found` say what a search is given and what its passages are called.
    """

    def __init__(
        self, program: Module, steps: dict[str, StepSpec], inputs: list[str], choices: Values
    ) -> None:
        self.calls: dict[str, tuple[str, str] | None] = {}
        self.chosen: JsonObject = {}
        self.queries: dict[str, str] = {}
        self.found: dict[str, str] = {}
        self._choices = choices
        self._made: dict[str, list[Any]] = {}
        self._passages: dict[str, list[Any]] = {}
        self._known: JsonObject = {}
        read = {f.name: f for step in reversed(steps.values()) for f in reversed(step.inputs)}
        # What no step reads by its name is a list, whose items a step may read.
        self._known = {n: self._stand_in(read[n], closed=False) if n in read else _items(n) for n in inputs}
        program = program.deepcopy()
        for name, step in steps.items():
            setattr(program, name, _Stand(self, step))
        try:
            program(**self._known)
        except PipelineError:
            raise
        except EngineError as error:
            raise PipelineError(f"The program did not run with marked values: {error}") from error
        except Exception as error:
            raise PipelineError(
                f"The program works on values itself ({type(error).__name__}: {error}), which a spec cannot say."
            ) from error

    def called(self, step: StepSpec, given: Mapping[str, object]) -> Prediction:
        """Note one call of a step and return its marked answer."""
        if step.strategy == "retrieve":
            return self._searched(step, given.get("query"))
        lists = [self._source_item(step, name, value) for name, value in given.items()]
        each = next(filter(None, reversed(lists)), None)
        if step.name in self.calls and (each is None or self.calls[step.name] != each):
            raise PipelineError(
                f"The step {step.name!r} is called several times, not for the items of one list."
            )
        self.calls[step.name] = each
        answer = {}
        for f in step.answers:
            answer[f.name] = self._stand_in(f, closed=each is None)
            if each is not None:
                self._made.setdefault(f.name, []).append(answer[f.name])
            else:
                self._known[f.name] = answer[f.name]
            if each is None and _values(f):
                self.chosen[f.name] = answer[f.name]
        return Prediction(answer)

    def _searched(self, step: StepSpec, query: object) -> Prediction:
        """Record a search as a step; its one input and one output are unnamed."""
        name = next((n for n, held in self._known.items() if held is query), None)
        if name is None or step.name in self.calls:
            raise PipelineError(
                f"The step {step.name!r} must search once, for an input or an answer handed on as it is."
            )
        self.calls[step.name], self.queries[step.name] = None, name
        self._passages[step.name] = _items(step.name)
        return Prediction(passages=self._passages[step.name])

    def _source_item(self, step: StepSpec, name: str, value: object) -> tuple[str, str] | None:
        """Check where a value comes from; (list, item) where it is an item of a list."""
        if name in self._known and (value is self._known[name] or value == self._known[name]):
            return None
        if name in self._made and isinstance(value, list) and value == self._made[name]:
            return None
        for search, passages in self._passages.items():
            item = any(value is one for one in passages)
            if value is passages or item:
                called = self.found.setdefault(search, "passages" if item else name)
                if item or called == name:
                    return (called, name) if item else None
        for other, held in self._known.items():
            if isinstance(held, list) and any(value is item for item in held):
                return (other, name)
        for other, held in self._known.items():
            if value is held:
                raise PipelineError(
                    f"The step {step.name!r} is given {other!r} as {name!r}. Fields are wired by name: "
                    f"call it {other!r} in both."
                )
        raise PipelineError(
            f"The step {step.name!r} is given {name!r}, which forward makes itself. A spec can only hand fields on."
        )

    def _stand_in(self, f: FieldSpec, *, closed: bool) -> object:
        values = _values(f)
        if values:
            picked = self._choices.get(f.name, values[0]) if closed else values[0]
            return _Mark(picked) if isinstance(picked, str) else picked
        if f.parsed_type.is_list:
            return _items(f.name)
        if f.parsed_type.plain in (int, float):
            return 1000 + len(self._known)
        return _Mark(f.name)


def _items(name: str) -> list[_Mark]:
    return [_Mark(f"{name} {i}") for i in range(_ITEMS)]


def _values(f: FieldSpec) -> tuple[Any, ...]:
    """The values of a closed set."""
    return f.choices or ((True, False) if f.parsed_type.annotation is bool else ())


def spec_of(program: Module) -> PipelineSpec:
    """Return a program as a pipeline of steps wired by field name; `build_program` makes the same program of it.

    Its steps must be modules that a spec has, each an attribute, and `forward` may hand fields on by name, leave a
    step out by the value of a field, and run one for each item of a list. Raises PipelineError, naming the step, for
    anything that only Python can say.

    >>> from engine import ChainOfThought, Predict
    >>> class Support(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.sort = Predict("message -> queue: Literal['billing', 'technical']")
    ...         self.reply = ChainOfThought("message, queue -> answer")
    ...     def forward(self, message):
    ...         queue = self.sort(message=message).queue
    ...         return self.reply(message=message, queue=queue)
    >>> [(s.name, s.strategy, [f.name for f in s.inputs]) for s in spec_of(Support()).steps]
    [('sort', 'predict', ['message']), ('reply', 'chain_of_thought', ['message', 'queue'])]
    """
    if isinstance(program, Pipeline):
        return program.spec
    alone = _laid_out("answer", program)
    if alone is not None:
        return _checked([alone])
    steps = {name: _step(name, part) for name, part in vars(program).items() if isinstance(part, Module)}
    if not steps:
        raise PipelineError("The program has no step that a spec could name. Put its steps in attributes.")
    if (
        len({id(p.lm) for p in program.predictors()}) > 1
    ):  # one for all is the program's, and a run names its own
        steps = {name: _own_model(step, getattr(program, name)) for name, step in steps.items()}
    runs = list(_runs(program, steps, _input_names(program)))
    return _checked(list(_wired(steps, runs)))


def _input_names(program: Module) -> list[str]:
    """The names that the program is called with."""
    call = type(program).aforward if type(program)._awaits else type(program).forward
    parameters = list(inspect.signature(call or Module.forward).parameters.values())[1:]
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        raise PipelineError(
            "The program takes any arguments (*args or **kwargs). Name its inputs: def forward(self, question)."
        )
    return [p.name for p in parameters if p.default is p.empty]


def _wired(steps: Mapping[str, StepSpec], runs: list[_Run]) -> Iterator[StepSpec]:
    """The steps in the order they ran, each with what makes it run."""
    order: list[str] = []
    for run in runs:
        called = list(run.calls)
        for i, name in enumerate(called):
            if name not in order:
                following = next((order.index(n) for n in called[i + 1 :] if n in order), len(order))
                order.insert(following, name)
    left = sorted(set(steps) - set(order))
    if left:
        raise PipelineError(f"The step {left[0]!r} was never called. Call it in forward, or remove it.")
    for name in order:
        step = steps[name]
        lists = {run.calls[name] for run in runs if name in run.calls}
        if len(lists) > 1:
            raise PipelineError(
                f"The step {name!r} runs sometimes once and sometimes for each item of a list."
            )
        each = lists.pop()
        update: dict[str, object] = {"each": Each(field=each[0], item=each[1])} if each else {}
        if step.strategy == "retrieve":
            queries = {run.queries[name] for run in runs if name in run.queries}
            sources = {run.found[name] for run in runs if name in run.found} or {"passages"}
            if len(queries) > 1 or len(sources) > 1:
                raise PipelineError(f"The step {name!r} searches for one thing here and another there.")
            update["inputs"] = (FieldSpec(name=queries.pop()),)
            update["outputs"] = (FieldSpec(name=sources.pop(), type="list[str]"),)
        if not all(name in run.calls for run in runs):
            update["when"] = _condition(name, runs)
        yield step.model_copy(update=update)


def _condition(name: str, runs: list[_Run]) -> Condition:
    """Return the one field whose value decides whether a step runs."""
    ran, not_ran = [r for r in runs if name in r.calls], [r for r in runs if name not in r.calls]
    for field in dict.fromkeys(f for run in runs for f in run.chosen):
        yes = {str(r.chosen[field]) for r in ran if field in r.chosen}
        no = {str(r.chosen[field]) for r in not_ran if field in r.chosen}
        if yes and no and not yes & no:
            return Condition(field=field, values=tuple(sorted(yes)))
    raise PipelineError(
        f"Whether the step {name!r} runs does not depend on the value of one field alone, so a spec cannot say it."
    )


def _step(name: str, part: Module) -> StepSpec:
    step = _laid_out(name, part)
    if step is None:
        raise PipelineError(
            f"The step {name!r} is a {type(part).__name__}, which a spec has no name for. Steps that it has: Predict, "
            "ChainOfThought, ReAct, ProgramOfThought, BestOfN, Refine and Retrieve."
        )
    return step


def _laid_out(name: str, part: Module) -> StepSpec | None:
    """A module of the engine's own as a step with its message layout; None for any other."""
    step = _plain_step(name, part)
    layouts = list({id(p.adapter): p.adapter for p in part.predictors()}.values())
    if step is None or layouts in ([], [None]):
        return step
    adapter = layouts[0]
    known = type(adapter) in ADAPTERS and adapter is not None and adapter.name in get_args(AdapterName)
    if adapter is None or len(layouts) > 1 or not known:
        raise PipelineError(
            f"The step {name!r} has its own message layout in a part of it, or a layout that you wrote. "
            f"A spec names one of these for the whole step: {', '.join(get_args(AdapterName))}."
        )
    options = adapter.options()
    native = options.pop("use_native_function_calling", None)
    if options:
        raise PipelineError(
            f"The step {name!r} has a message layout with a setting that a spec cannot say: {next(iter(options))}."
        )
    changes = {
        "adapter": adapter.name,
        "extraction_model": _model_choice(name, getattr(adapter, "extraction_model", None)),
        "use_native_function_calling": native,
    }
    return step.model_copy(update=changes)


def _own_model(step: StepSpec, part: Module) -> StepSpec:
    """The step with the model it asks, where that is its own."""
    models = list({id(p.lm): p.lm for p in part.predictors()}.values())
    if len(models) > 1:
        raise PipelineError(
            f"The parts of the step {step.name!r} ask different models. A spec names one for the whole step."
        )
    return step.model_copy(update={"model": _model_choice(step.name, models[0])}) if models else step


def _model_choice(step: str, lm: Any) -> ModelChoice | None:
    """A model as a spec says it: name, address and the settings that a choice has; None for none."""
    if lm is None:
        return None
    dumped = dump_lm(lm) or {}
    more = [key for key in dumped if key != "model" and key not in ModelChoice.model_fields]
    if more:
        raise PipelineError(
            f"The model {dumped['model']!r} of the step {step!r} has a setting that a spec cannot say: {more[0]}."
        )
    settings = {key: value for key, value in dumped.items() if key != "model"}
    if (route := getattr(lm, "route", None)) is not None:
        settings["base_url"] = route.base_url if route.custom else None
        settings["key_env"] = lm.dump_state().get("key_env")
    return ModelChoice(name=lm.model, **settings)


def _plain_step(name: str, part: Module) -> StepSpec | None:
    """A module of the engine's own as a step; None for any other."""
    if type(part) is Predict:
        return _described(name, "predict", part.signature)
    if type(part) is ChainOfThought:
        return _described(name, "chain_of_thought", part.predict.signature.delete(FIELD))
    if type(part) is ProgramOfThought:
        return _described(name, "program_of_thought", part.signature, max_iters=part.max_iters)
    if type(part) is ReAct:
        tools = tuple(tool for tool in part.tools if tool != "finish")
        foreign = [t for t in tools if t not in TOOLS or part.tools[t].func is not TOOLS[t].func]
        if foreign:
            raise PipelineError(
                f"The step {name!r} calls {foreign[0]!r}, a function of your own, which a spec cannot hold. "
                f"Tools that it names: {', '.join(TOOLS)}."
            )
        return _described(name, "react", part.signature, tools=tools, max_iters=part.max_iters)
    if isinstance(part, BestOfN) and type(part) in (BestOfN, Refine):
        return _rated(name, part)
    if type(part) is Retrieve:
        return _search(name, part)
    return None


def _rated(name: str, part: BestOfN) -> StepSpec:
    if not isinstance(part.reward_fn, CriteriaReward) or type(part.module) is not ChainOfThought:
        raise PipelineError(
            f"The step {name!r} goes by a reward of your own. A spec can only say engine.pipeline.strategies.CriteriaReward, "
            "over a ChainOfThought."
        )
    strategy = "refine" if type(part) is Refine else "best_of_n"
    options = {"tries": part.N, "threshold": part.threshold, "criteria": part.reward_fn.criteria}
    return _described(name, strategy, part.module.predict.signature.delete(FIELD), **options)


def _search(name: str, part: Retrieve) -> StepSpec:
    if isinstance(part.rm, CorpusRetriever):
        options = StepOptions(corpus=part.rm.spec, retriever=part.rm.kind, k=part.k)
    elif isinstance(part.rm, Retriever) and part.rm.kind in ("bm25", "embeddings"):
        passages = CorpusSpec(passages=part.rm.corpus.texts)
        kind: Any = part.rm.kind
        options = StepOptions(corpus=passages, retriever=kind, k=part.k)
    else:
        raise PipelineError(
            f"The step {name!r} searches whatever retriever is in force. Give it its own: "
            "Retrieve(k=3, rm=engine.BM25(passages))."
        )
    return StepSpec(name=name, strategy="retrieve", options=options, inputs=(FieldSpec(name="query"),))


def _described(name: str, strategy: Any, signature: type[Signature], **options: Any) -> StepSpec:
    def side(names: Mapping[str, object]) -> tuple[FieldSpec, ...]:
        return tuple(_field(n, signature.annotation(n), signature.description(n)) for n in names)

    return StepSpec(
        name=name,
        strategy=strategy,
        options=StepOptions(**options),
        instructions=signature.instructions,
        inputs=side(signature.input_fields),
        outputs=side(signature.output_fields),
    )


def _field(name: str, annotation: object, description: str) -> FieldSpec:
    texts = get_args(annotation) if get_origin(annotation) is Literal else ()
    if texts and all(isinstance(t, str) for t in texts):
        return FieldSpec(name=name, choices=texts, description=description)
    return FieldSpec(name=name, type=type_text(annotation), description=description)


def _checked(steps: list[StepSpec]) -> PipelineSpec:
    spec = PipelineSpec(steps=tuple(steps))
    problems = spec_problems(spec)
    if problems:
        raise PipelineError(f"The program cannot be said as a spec: {problems[0]}")
    return spec
