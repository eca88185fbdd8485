"""DSPy's public surface next to ours: every name and argument is here, or its absence is decided and written down.

`NAMES` and `ARGUMENTS` are DSPy 3.4.1's, frozen, so that the comparison runs without it; where DSPy is installed the frozen
lists are compared with it.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from support.peers.dspy_peer import in_dspy

import engine

GUIDE = (Path(__file__).parents[3] / "engine" / "README.md").read_text()

HERE = """
Adapter AdapterParseError Audio AvatarOptimizer BaseLM BaseModule BestOfN BetterTogether BootstrapFewShot
BootstrapFewShotWithOptuna BootstrapFewShotWithRandomSearch BootstrapRS COPRO ChainOfThought ChatAdapter Code CodeAct
CodeExecutionError CodeInterpreterError ColBERTv2 Completions ContextWindowExceededError DSPyError Embedder Embeddings
BootstrapFinetune EmbeddingsWithScores Ensemble Evaluate Example File GEPA History Image InferRules InputField JSONAdapter KNN
KNNFewShot LM LMAuthError LMBillingError LMCollectionLimitError LMConfigurationError LMError LMInvalidRequestError
LMLockTimeoutError LMNotConfiguredError LMProviderError LMRateLimitError LMServerError LMStreamAssemblyError
LMTimeoutError LMTransportError LMUnexpectedError LMUnsupportedFeatureError LMUnsupportedModelError LabeledFewShot
MIPROv2 Module MultiChainComparison OldInputField OldOutputField OutputField Parallel Predict Prediction
ProgramOfThought PythonInterpreter RLM ReAct ReActV2 Reasoning Refine Retrieve SIMBA Signature SignatureMeta Tool
ToolCallResults ToolCalls TwoStepAdapter Type XMLAdapter adapters asyncify clients configure configure_cache
configure_dspy_loggers context disable_litellm_logging disable_logging dsp enable_litellm_logging enable_logging
ensure_signature evaluate infer_prefix inspect_history is_retryable_lm_error load majority make_signature predict
lm15 primitives retrievers settings signatures streamify streaming syncify teleprompt track_usage utils
""".split()
"""Names of `dspy` that are names of `engine`."""

NOT_HERE = """
CodeInterpreter FinalOutput Flex LocalInterpreter OldField Provider SandboxSerializable
TrainingJob bootstrap_trace_data load_settings propose resolve_interpreter_factory threading
""".split()
"""Names of `dspy` that are none of `engine`: its own folders, what the guide sends elsewhere, and what is not there."""

ARGUMENTS = {
    "Audio.from_array": "array sampling_rate format",
    "BestOfN": "module N reward_fn threshold fail_count",
    "ChainOfThought": "signature rationale_field rationale_field_type",
    "ChatAdapter": "callbacks use_native_function_calling native_response_types use_json_adapter_fallback parallel_tool_calls",
    "CodeAct": "signature tools max_iters interpreter_factory",
    "ColBERTv2": "url port post_requests",
    "Embedder": "model batch_size caching",
    "Embedder.__call__": "inputs batch_size caching",
    "Embeddings": "corpus embedder k callbacks cache brute_force_threshold normalize",
    "Embeddings.forward": "query",
    "Embeddings.from_saved": "path embedder",
    "Ensemble": "reduce_fn size deterministic",
    "Evaluate": "devset metric num_threads display_progress display_table max_errors provide_traceback failure_score "
    "save_as_csv save_as_json",
    "Evaluate.__call__": "program metric devset num_threads display_progress display_table callback_metadata save_as_csv "
    "save_as_json",
    "Example.copy": "",
    "Example.items": "include_dspy",
    "Example.keys": "include_dspy",
    "Example.values": "include_dspy",
    "Example.with_inputs": "",
    "Example.without": "",
    "File.from_bytes": "file_bytes filename mime_type",
    "File.from_path": "file_path filename mime_type",
    "GEPA": "metric auto max_full_evals max_metric_calls reflection_minibatch_size candidate_selection_strategy reflection_lm "
    "skip_perfect_score add_format_failure_as_feedback instruction_proposer component_selector use_merge "
    "max_merge_invocations num_threads failure_score perfect_score log_dir track_stats track_best_outputs seed",
    "Image.from_url": "url verify timeout",
    "JSONAdapter": "callbacks use_native_function_calling parallel_tool_calls",
    "KNN": "k trainset vectorizer",
    "LM": "model model_type temperature max_tokens cache callbacks num_retries",
    "LM.__call__": "prompt messages",
    "LM.acall": "prompt messages",
    "LM.aforward": "prompt messages",
    "LM.copy": "",
    "LM.forward": "prompt messages",
    "LM.inspect_history": "n file",
    "MIPROv2": "metric prompt_model task_model teacher_settings max_bootstrapped_demos max_labeled_demos auto num_candidates "
    "num_threads max_errors seed init_temperature verbose track_stats log_dir metric_threshold",
    "Module": "callbacks",
    "Module.batch": "examples num_threads max_errors return_failed_examples provide_traceback disable_progress_bar timeout "
    "straggler_limit",
    "Module.inspect_history": "n file",
    "Module.load": "path allow_pickle allow_unsafe_lm_state",
    "Module.named_sub_modules": "type_ skip_compiled",
    "Module.save": "path save_program modules_to_serialize",
    "Module.set_lm": "lm",
    "MultiChainComparison": "signature M temperature",
    "Parallel": "num_threads max_errors access_examples return_failed_examples provide_traceback disable_progress_bar timeout "
    "straggler_limit",
    "Predict": "signature callbacks",
    "ProgramOfThought": "signature max_iters interpreter_factory",
    "PythonInterpreter": "tools output_fields callbacks",
    "RLM": "signature max_iters max_llm_calls max_output_chars verbose tools sub_lm interpreter_factory",
    "ReAct": "signature tools max_iters",
    "Refine": "module N reward_fn threshold fail_count",
    "Retrieve": "k callbacks",
    "Tool": "func name desc args arg_types arg_desc",
    "Tool.from_mcp_tool": "session tool result_mode",
    "asyncify": "program",
    "configure_cache": "enable_disk_cache enable_memory_cache disk_cache_dir disk_size_limit_bytes memory_max_entries "
    "restrict_pickle safe_types",
    "ensure_signature": "signature instructions",
    "inspect_history": "n file",
    "majority": "prediction_or_completions normalize field",
    "make_signature": "signature instructions signature_name custom_types",
    "streamify": "program status_message_provider stream_listeners include_final_prediction_in_output_stream is_async_program "
    "async_streaming",
    "streaming.StreamListener": "signature_field_name predict predict_name allow_reuse",
    "syncify": "program in_place",
}
"""Arguments that DSPy's scripts may give by name or, in this order, by position."""

BY_POSITION_ONLY = {
    "File.from_bytes": {"file_bytes"},
    "File.from_path": {"file_path"},
    "majority": {"prediction_or_completions"},
}
"""First arguments, which nobody names, that are called something else here."""

NOT_TAKEN = {"RLM": {"verbose"}}
"""Arguments that are not taken; the guide says what to use."""


def of(root: object, path: str) -> object:
    for part in path.split("."):
        root = getattr(root, part)
    return root


def parameters(path: str) -> tuple[list[str], bool]:
    """The named arguments of something of ours, and whether it takes others, too."""
    found = inspect.signature(of(engine, path)).parameters.values()  # type: ignore[arg-type]
    return (
        [p.name for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)],
        any(p.kind is p.VAR_KEYWORD for p in found),
    )


@pytest.mark.parametrize("name", HERE)
def test_a_name_of_dspys_is_here(name: str) -> None:
    assert getattr(engine, name) is not None


@pytest.mark.parametrize("name", NOT_HERE)
def test_a_name_that_is_missing_is_decided_and_written_down(name: str) -> None:
    assert not hasattr(engine, name)
    assert bool(re.search(rf"`(dspy\.)?{name}\b", GUIDE)), f"What to use instead of dspy.{name}?"


@pytest.mark.parametrize("path", ARGUMENTS)
def test_an_argument_of_dspys_is_taken(path: str) -> None:
    ours, others = parameters(path)
    elsewhere = {*BY_POSITION_ONLY.get(path, ()), *NOT_TAKEN.get(path, ())}
    assert others or set(ARGUMENTS[path].split()) - elsewhere <= set(ours)
    assert all(f"`{path}({name}=" in GUIDE for name in NOT_TAKEN.get(path, ()))


def test_the_frozen_lists_are_those_of_dspy(tmp_path: Path) -> None:
    code = f"""
import inspect, json, dspy
def of(path):
    found = dspy
    for part in path.split("."):
        found = getattr(found, part)
    return found
def named(path):
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    found = of(path)
    found = found.__init__ if inspect.isclass(found) else found
    return [p.name for p in inspect.signature(found).parameters.values() if p.kind not in skipped]
print(json.dumps([
    sorted(n for n in dir(dspy) if not n.startswith("_")),
    {{path: named(path) for path in {list(ARGUMENTS)!r}}},
]))
"""
    names, arguments = json.loads(in_dspy(code, tmp_path))
    assert sorted({*HERE, *NOT_HERE}) == names
    for path, found in arguments.items():
        # GEPA's and the interpreter's further options are the gepa package's and Deno's own.
        known = set(ARGUMENTS[path].split())
        assert known <= set(found), path
        assert path in PARTLY or set(found) - {"self"} == known, path


PARTLY = ("GEPA", "PythonInterpreter", "LM")
"""What takes more in DSPy: Deno's, weights' and trackers' options."""
