"""Pieces of the scripts for DSPy, as text: what DSPy has no module for, and the script around it.

Searches and the choice of examples are the engine's: a script with one of them imports it, from an installed
Tuneboard or from the `engine` of a stand-alone program next to it.
"""

from __future__ import annotations

ADAPTERS = {
    "chat": "ChatAdapter",
    "json": "JSONAdapter",
    "xml": "XMLAdapter",
    "two_step": "TwoStepAdapter",
}
"""Adapter -> DSPy's class."""

CALLING = '''
class Call:
    """Calls a tool with its inputs; the result is read as the type of its one output."""

    def __init__(self, tool, field, kind):
        self.tool, self.field, self.kind = tool, field, kind

    def __call__(self, **inputs):
        text = str(self.tool(**{name: value for name, value in inputs.items() if value is not None}))
        if self.kind is not str:
            try:
                text = TypeAdapter(self.kind).validate_json(text)
            except ValueError:
                text = TypeAdapter(self.kind).validate_python(text)
        return dspy.Prediction(**{self.field: text})

'''

TOOL_CODE = {
    "calculator": """
SIGNS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}
NAMES = "acos asin atan ceil cos e exp factorial floor log log10 log2 pi sin sqrt tan".split()


def calculator(expression: str) -> str:
    def value(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in SIGNS:
            left, right = value(node.left), value(node.right)
            if isinstance(node.op, ast.Pow) and abs(right) > 1000:
                raise ValueError("The power is too large.")
            return SIGNS[type(node.op)](left, right)
        if isinstance(node, ast.UnaryOp) and type(node.op) in SIGNS:
            return SIGNS[type(node.op)](value(node.operand))
        if isinstance(node, ast.Name) and node.id in NAMES:
            return getattr(math, node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            known = {"abs": abs, "round": round, "min": min, "max": max}
            function = known.get(node.func.id) or (node.func.id in NAMES and getattr(math, node.func.id))
            if function:
                return function(*map(value, node.args))
        raise ValueError("%r cannot be worked out." % expression)

    return str(value(ast.parse(expression.strip(), mode="eval").body))

""",
    "python": """
def run_python(code: str) -> str:
    with dspy.PythonInterpreter() as interpreter:
        return str(interpreter.execute(code))

""",
}
"""Tool -> the code of its function in a script."""

CODE = '''
GIVEN = contextvars.ContextVar("given", default={})


class WithInputs(dspy.ProgramOfThought):
    """As DSPy's, with the inputs as variables of the code."""

    def forward(self, *args, **inputs):
        GIVEN.set(inputs)
        return super().forward(*args, **inputs)

    def _execute_code(self, code, interpreter):
        given = "".join("%s = %r\\n" % pair for pair in GIVEN.get().items())
        return super()._execute_code(given + code if code else code, interpreter)

'''

SCRIPT = '''\
"""@TITLE@. The program for DSPy.

    pip install @NEEDS@
    python program_dspy.py --help
"""

from __future__ import annotations

import argparse
import ast
import contextvars
import datetime
import json
import math
import operator
import os
import re
import typing
from typing import *  # noqa: F403 - the types of the fields

import dspy
from pydantic import TypeAdapter

MODEL = @MODEL@
INPUTS = @INPUTS@
OUTPUTS = @OUTPUTS@

PLAIN = @PLAIN@


def plain(value):
    """Return a value as conditions compare it."""
    value = getattr(value, "value", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip().casefold()

@PARTS@
@SIGNATURES@

WIRING = @WIRING@
MAKES = @MAKES@
WHEN = @WHEN@
EACH = @EACH@
LAYOUTS = @LAYOUTS@
MODELS = @MODELS@

STATE = @STATE@


def language_model(settings):
    """Return the model of some settings; its key is read from the environment."""
    settings = dict(settings)
    key = os.environ.get(settings.pop("key_env", ""))
    if key:
        settings["api_key"] = key
    return dspy.LM(**settings)


def layout(name, model=None, **options):
    """Return an adapter by its name; the two-step one reads answers with another model, or with the one that wrote them."""
    if name == "TwoStepAdapter":
        options["extraction_model"] = language_model(model) if model else dspy.settings.lm
    return getattr(dspy, name)(**options)


class Program(dspy.Module):
    def __init__(self):
        super().__init__()
@STEPS@
@REWARDS@
    def forward(self, **inputs):
        values, made = dict(inputs), {}
        for name, needs in WIRING.items():
            if name in WHEN:
                field, wanted, negated = WHEN[name]
                if (plain(values.get(field)) in map(plain, wanted)) is negated:
                    for field in MAKES[name]:
                        made.setdefault(field, None)
                        values.setdefault(field, None)
                    continue
            given = {need: values[need] for need in needs if need in values}
            if name in EACH:
                items, item = EACH[name]
                some = [dict(self.ask(name, {**given, item: one}).items()) for one in values.get(items) or ()]
                answer = {field: [one.get(field) for one in some] for field in MAKES[name]}
            else:
                answer = dict(self.ask(name, given).items())
            made.update(answer)
            values.update(answer)
        return dspy.Prediction(**made)

    def ask(self, name, given):
        if name not in LAYOUTS:
            return getattr(self, name)(**given)
        with dspy.context(adapter=layout(**LAYOUTS[name])):
            return getattr(self, name)(**given)


def load():
    """Return the tuned program."""
    program = Program()
    program.load_state(STATE)
    for path, step in program.named_predictors():
        if path in MODELS:
            step.lm = language_model(MODELS[path])
    return program


def use_model(name=None):
    """Set the model and the adapter."""
    settings = dict(MODEL or {})
    if name:
        settings["model"] = name
    if "model" not in settings:
        raise SystemExit("Give a model: --model openai/gpt-4o-mini")
    dspy.configure(lm=language_model(settings))
    dspy.configure(adapter=layout(@ADAPTER@))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="another model than the one it was tuned with")
    for name in INPUTS:
        parser.add_argument("--" + name.replace("_", "-"), dest=name, required=True)
    given = vars(parser.parse_args())
    use_model(given.pop("model"))
    for name in INPUTS:
        if name not in PLAIN:
            given[name] = json.loads(given[name])
    answer = load()(**given)
    print(json.dumps({name: answer[name] for name in OUTPUTS}, default=str, ensure_ascii=False))


if __name__ == "__main__":
    main()
'''


SEARCHING = '''
from engine.adapters.values import numbered
from engine.retrieval.indexes import BM25, Embeddings


class Search:
    """Finds the passages nearest to its first input, by their words or as vectors."""

    def __init__(self, index, passages, k, field="passages", listed=True):
        self.field, self.listed, self.index = field, listed, index(passages, k=k)

    def find(self, query):
        return self.index(query).passages

    def __call__(self, **inputs):
        query = next(iter(inputs.values()), None)
        found = self.find(" ".join(query) if isinstance(query, list) else str(query)) if query else []
        return dspy.Prediction(**{self.field: found if self.listed else numbered(found)})

'''

SEARCH_TOOL = """
def search_in(found):
    def search(query: str) -> str:
        passages = found.find(query)
        return numbered(passages) if passages else "Nothing was found."

    return search

"""

NEAREST = '''
from engine.basics.similarity import NearestTexts, text_of_values


class Nearest(dspy.Predict):
    """Shows each input the `nearest` solved examples that are most like it, the nearest last."""

    def __init__(self, nearest, signature):
        super().__init__(signature)
        self.nearest, self.known = nearest, ([], None)

    def demos_for(self, inputs):
        if not 0 < self.nearest < len(self.demos):
            return self.demos
        names = list(self.signature.input_fields)
        if self.known[0] != self.demos:
            self.known = list(self.demos), NearestTexts([text_of_values(demo, names) for demo in self.demos])
        found = self.known[1].nearest(text_of_values(inputs, names), self.nearest)
        return [self.demos[i] for i in reversed(found)]

    def forward(self, **inputs):
        return super().forward(**{"demos": self.demos_for(inputs), **inputs})

    async def aforward(self, **inputs):
        return await super().aforward(**{"demos": self.demos_for(inputs), **inputs})

    def dump_state(self, json_mode=True):
        return {**super().dump_state(json_mode), "nearest": self.nearest}

'''
