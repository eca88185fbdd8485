"""Arguments of DSPy that public names take and that have no effect."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import engine
from engine.basics import public_names
from engine.compat.arguments import IGNORED, TRANSLATED
from engine.optimizers.mipro import MIPROv2
from engine.testing import ScriptedLM


def test_an_ignored_argument_is_taken_and_an_unknown_one_is_not() -> None:
    made = engine.MIPROv2(verbose=True, track_stats=True, num_candidates=3, auto=None)
    assert isinstance(made, MIPROv2)
    assert engine.MIPROv2 is MIPROv2
    assert made.options.num_candidates == 3
    with pytest.raises(engine.ConfigurationError, match="'verbos'"):
        engine.MIPROv2(verbos=True)
    assert "verbose" in inspect.signature(engine.MIPROv2).parameters


def test_ignored_arguments_reach_the_members_of_a_chain() -> None:
    changes = {"p": {"requires_permission_to_run": False, "num_candidate_programs": 2}}
    made = engine.BetterTogether(strategy="p", optimizer_compile_args=changes)
    assert made._parts["p"].options.num_candidate_programs == 2


def test_older_and_other_names() -> None:
    assert engine.BayesianSignatureOptimizer(n=10).options.num_candidates == 10
    lm = ScriptedLM([])
    assert engine.GEPA(reflection_lm=lm).prompt_model is lm
    assert engine.AvatarOptimizer(max_positive_inputs=None).options.max_positive_inputs == 10
    assert engine.KNNFewShot(3, metric_threshold=None, max_errors=5).options.metric_threshold == 1.0


def test_a_metric_of_five_arguments_is_called_with_two() -> None:
    def metric(gold, pred, trace, pred_name, pred_trace):
        return (gold, pred, trace, pred_name, pred_trace) == (1, 2, None, None, None)

    assert engine.GEPA(metric).metric(1, 2)


def test_the_engine_itself_knows_nothing_of_the_layer() -> None:
    code = "import sys, engine.registry; print('engine.compat.arguments' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_entry_is_of_a_public_name() -> None:
    renamed = {name for _, name in public_names.homes("engine").values()}
    for path in {*IGNORED, *TRANSLATED} - {"Optimizer"}:
        name = path.partition(".")[0]
        assert hasattr(engine, name) or name in renamed, path
