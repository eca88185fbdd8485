"""DSPy's module paths: every one in the table imports, holds its names, and confuses no tool."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from support.peers.dspy_peer import in_dspy

import engine
from engine.compat.paths import HOMES, MISSING, PATHS

REAL = {
    path
    for path in PATHS
    if importlib.util.find_spec(f"engine.{path}").loader.__class__.__name__ != "_Loader"
}
"""Paths that are the engine's own too."""


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_dspys_imports_and_holds_its_names(path: str) -> None:
    module = importlib.import_module(f"engine.{path}")
    names = [name for name in PATHS[path].split() if path not in REAL or hasattr(module, name)]
    assert names or path == "dsp"
    for name in names:
        value = getattr(module, name)
        assert value is not None
        if isinstance(value, type) or inspect.isfunction(value):
            assert value.__module__.split(".")[0] == "engine"
            assert value.__module__ not in {f"engine.{one}" for one in PATHS.keys() - REAL}


def test_the_table_holds_dspys_own_names(tmp_path: Path) -> None:
    """Where DSPy is installed: every path and name of the table is one of DSPy's."""
    code = f"""
import importlib, json
wrong = []
for path, names in {PATHS!r}.items():
    try:
        module = importlib.import_module("dspy." + path)
    except ImportError:
        wrong.append(path)
        continue
    wrong += [path + "." + name for name in names.split() if not hasattr(module, name)]
print(json.dumps(wrong))
"""
    assert set(json.loads(in_dspy(code, tmp_path))) == set(OLDER)


OLDER = (
    "evaluate.metrics.answer_exact_match_str",
    "primitives.program",
    "retrieve",
    "teleprompt.BootstrapRS",
    "teleprompt.MIPRO",
)
"""Names of older versions, which programs still use."""


def test_names_come_through_packages_and_attributes() -> None:
    from engine.teleprompt import MIPROv2
    from engine.utils.callback import BaseCallback

    assert MIPROv2 is engine.MIPROv2 is engine.teleprompt.mipro_optimizer_v2.MIPROv2
    assert engine.utils.callback.BaseCallback is BaseCallback is engine.BaseCallback
    assert engine.predict.react.ReAct is engine.ReAct
    assert {"MIPROv2", "gepa"} <= set(dir(engine.teleprompt))
    namespace: dict[str, object] = {}
    exec("from engine.primitives import *", namespace)
    assert namespace["Example"] is engine.Example


def test_packages_of_both_have_dspys_names_too() -> None:
    code = """
import engine as dspy
dspy.Predict("question -> answer")
print(dspy.evaluate.metrics.EM is dspy.EM, dspy.adapters.types.image.Image is dspy.Image, dspy.adapters.Image is dspy.Image)
print(dspy.streaming.messages.StatusMessage is dspy.StatusMessage, dspy.evaluate.Evaluate is dspy.Evaluate)
import engine.adapters
try:
    engine.adapters.nothing
except AttributeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "True True True",
        "True True",
        "module 'engine.adapters' has no attribute 'nothing'",
    ]


def test_a_missing_name_says_what_to_use() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Flex': use engine\.RLM"):
        _ = engine.Flex
    with pytest.raises(AttributeError, match=r"no attribute 'GroundedProposer': use engine\.MIPROv2"):
        _ = engine.teleprompt.GroundedProposer
    with pytest.raises(ImportError, match="GroundedProposer"):
        exec("from engine.teleprompt import GroundedProposer")
    with pytest.raises(ModuleNotFoundError, match=r"engine\.teleprompt\.nothing"):
        importlib.import_module("engine.teleprompt.nothing")
    assert not [name for name in MISSING if hasattr(engine, name) or name in HOMES]


def test_tools_are_not_confused() -> None:
    module = importlib.import_module("engine.teleprompt")
    assert pickle.loads(pickle.dumps(module.MIPROv2)) is engine.MIPROv2
    assert inspect.getmodule(module.MIPROv2) is importlib.import_module("engine.optimizers.mipro.optimizer")
    assert not hasattr(module, "__file__")
    assert not hasattr(module, "__wrapped__")
    assert inspect.getdoc(module)
    assert module.__spec__.name == "engine.teleprompt"


def test_the_import_loads_no_table() -> None:
    code = "import sys, engine; print([m for m in sys.modules if m.startswith('engine.')], engine.teleprompt.GEPA.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['engine.basics', 'engine.basics.public_names', 'engine.compat'] GEPA"
