"""What DSPy's documentation has people write, run here: adapters of one's own, settings, caching, retrieval, several programs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from support.servers.openai_server import OpenAIServer

import engine
from engine.errors import ConfigurationError
from engine.lm.base import Choice, Reply
from engine.testing import ScriptedLM, asked

STEP = engine.Predict("question -> answer")
DEMO = engine.Example(question="1 + 1?", answer="2")


def answering(text: str = "Paris") -> ScriptedLM:
    return ScriptedLM(lambda request: dict.fromkeys(asked(request)[1] or ["answer"], text))


# Adapters


class Bare(engine.Adapter):
    """All that DSPy asks of an adapter: two methods."""

    def format(self, signature, demos, inputs):
        return [{"role": "user", "content": f"{signature.instructions} {inputs['question']}"}]

    def parse(self, signature, completion):
        return {"answer": completion.upper()}


class Pieces(engine.ChatAdapter):
    """Pieces of a prompt, one of which depends on the adapter's own state."""

    tone = "Be brief."

    def format_task_description(self, signature):
        return f"{self.tone} {super().format_task_description(signature)}"

    def format_user_message_content(self, signature, inputs, prefix="", suffix="", main_request=False):
        return super().format_user_message_content(signature, inputs, "Today: Monday.", suffix, main_request)

    def format_assistant_message_content(self, signature, outputs, missing_field_message=None):
        return super().format_assistant_message_content(signature, outputs) + "\n(shown)"


def test_an_adapter_of_two_methods() -> None:
    lm = ScriptedLM(["paris"])
    with engine.context(lm=lm, adapter=Bare()):
        assert STEP(question="Capital?").answer == "PARIS"
    assert lm.requests[0].messages[0]["content"].endswith("Capital?")


def test_an_adapter_without_a_layout_says_what_to_define() -> None:
    class Half(engine.Adapter):
        def parse(self, signature, completion):
            return {}

    with (
        engine.context(lm=answering(), adapter=Half()),
        pytest.raises(
            ConfigurationError, match=r"Half lays out no prompt: define reminder\(plan\), or format"
        ),
    ):
        STEP(question="q")


def test_pieces_of_a_prompt_are_overridden_and_read_at_every_call() -> None:
    lm, adapter = answering(), Pieces()
    with engine.context(lm=lm, adapter=adapter):
        STEP(question="first", demos=[DEMO])
        adapter.tone = "Be long."
        STEP(question="second")
    first, second = (request.messages for request in lm.requests)
    assert "Be brief. Your task" in first[0]["content"]
    assert "Be long. Your task" in second[0]["content"]
    assert first[2]["content"].endswith("(shown)")
    assert first[-1]["content"].startswith("Today: Monday.\n\n[[ ## question ## ]]\nfirst")
    assert "Now write the output fields" in first[-1]["content"]


def test_an_adapter_without_pieces_of_its_own_writes_what_the_pieces_say() -> None:
    adapter, signature = engine.ChatAdapter(), STEP.signature
    messages = adapter.format(signature, [DEMO], {"question": "q"})
    assert messages[0]["content"] == adapter.format_system_message(signature)
    assert messages[1:-1] == adapter.format_demos(signature, [DEMO])
    said = adapter.format_user_message_content(signature, {"question": "q"}, main_request=True)
    assert messages[-1]["content"] == said
    assert adapter.format_user_message_content(signature, {"question": "q"}) == "[[ ## question ## ]]\nq"
    assert adapter.format_assistant_message_content(signature, {}, "none").startswith(
        "[[ ## answer ## ]]\nnone"
    )


def test_pieces_around_a_picture_are_parts() -> None:
    picture = engine.Image(url="https://example.com/a.png")
    signature = engine.Signature("image: Image -> answer", custom_types={"Image": engine.Image})
    parts = Pieces().format(signature, [], {"image": picture})[-1]["content"]
    assert [part["type"] for part in parts] == ["text", "text", "image_url", "text"]


def test_an_adapter_may_be_called_by_hand() -> None:
    lm = answering()
    assert engine.ChatAdapter()(lm, {"temperature": 0.5}, STEP.signature, [], {"question": "q"}) == [
        {"answer": "Paris"}
    ]
    assert lm.requests[0].params == {"temperature": 0.5}


# Settings and caching


def test_the_cache_of_a_process_is_chosen(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        lm = engine.LM("openai/test-model", api_base=server.url, api_key="sk-test")
        try:
            engine.configure_cache(disk_cache_dir=tmp_path / "kept")
            assert [lm("a"), lm("a")] == [["ok"], ["ok"]]
            assert server.calls == 1
            engine.configure_cache(enable_disk_cache=False)
            lm("a")
            lm("a")
            assert server.calls == 2
            engine.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
            lm("a")
            lm("a")
            assert server.calls == 4
            engine.configure_cache(disk_cache_dir=tmp_path / "kept")
            assert lm("a") == ["ok"]
            assert server.calls == 4
        finally:
            engine.configure_cache()
    assert (tmp_path / "kept" / "cache.sqlite3").exists()


# Rows, programs, retrieval


def test_rows_list_their_names_and_values() -> None:
    row = engine.Example(question="q", answer="a", dspy_uuid="7").with_inputs("question")
    assert row.keys() == ["question", "answer"]
    assert row.values() == ["q", "a"]
    assert row.items() == [("question", "q"), ("answer", "a")]
    assert row.keys(include_dspy=True)[-1] == "dspy_uuid"
    assert engine.Prediction(answer="a").keys()[0] == "answer"
    assert engine.Example(row).dspy_uuid == "7"


def test_functions_run_in_parallel_and_failures_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async def later(question: str) -> str:
        return question * 2

    def broken(question: str) -> str:
        raise ValueError(f"no {question}")

    pairs: list[Any] = [(len, ("abc",)), (later, {"question": "x"}), (broken, {"question": "z"})]
    with caplog.at_level(logging.WARNING):
        assert engine.Parallel(num_threads=2)(pairs) == [3, "xx", None]
    assert "Example 2 failed: ValueError: no z" in caplog.text


def test_parts_of_a_program_by_their_type_and_a_batch_by_position() -> None:
    class Desk(engine.Module):
        def __init__(self):
            self.think = engine.ChainOfThought("question -> answer")
            self.ask = engine.Predict("question -> answer")

        def forward(self, question):
            return self.ask(question=question)

    desk = Desk()
    assert [path for path, _ in desk.named_sub_modules(type_=engine.ChainOfThought)] == ["self.think"]
    desk.think._compiled = True
    names = [name for name, _ in desk.named_sub_modules()]
    assert names == ["self", "self.think", "self.think.predict", "self.ask"]
    assert [name for name, _ in desk.named_sub_modules(skip_compiled=True)] == ["self", "self.ask"]
    assert [name for name, _ in desk.named_predictors()] == ["ask"]
    rows = [engine.Example(question=text).with_inputs("question") for text in "ab"]
    with engine.context(lm=answering()):
        answers, failed, errors = desk.batch(rows, 2, 5, True)
    assert [len(part) for part in (answers, failed, errors)] == [2, 0, 0]


def test_an_index_is_loaded_with_its_embedder_and_evaluated_by_position(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import numpy as np

    embedder = engine.Embedder(lambda texts: np.array([[len(text), 1.0] for text in texts]))
    search = engine.retrievers.Embeddings(["a", "bbbb", "cccccccc"], embedder, k=1, normalize=False)
    search.save(tmp_path / "index")
    again = engine.Embeddings.from_saved(tmp_path / "index", embedder)
    assert again.forward("cccccccc").passages == search("cccccccc").passages == ["cccccccc"]
    assert embedder(["a", "b"], 1, caching=False).shape == (2, 2)

    def metric(row, answer, trace=None):
        raise KeyError("team")

    rows = [engine.Example(question="q", answer="Paris").with_inputs("question")] * 2
    evaluate = engine.Evaluate(devset=rows, metric=metric)
    with engine.context(lm=answering()), caplog.at_level(logging.WARNING):
        assert evaluate(STEP).score == 0.0
        assert evaluate(STEP, engine.answer_exact_match, rows[:1]).score == 100.0
    assert "2 of 2 rows failed" in caplog.text
    assert engine.evaluate.SemanticF1 is engine.SemanticF1


def test_what_a_tool_takes_is_read_off_it_and_finishing_is_not_told() -> None:
    def weather(city: str, days: int = 1) -> str:
        "Say what the weather is."
        return "Done."

    tool = engine.Tool(weather)
    assert tool.arg_types == {"city": str, "days": int}
    script = [
        {"next_thought": "Look.", "next_tool_name": "weather", "next_tool_args": {"city": "Rome"}},
        {"next_thought": "Enough.", "next_tool_name": "finish", "next_tool_args": {}},
        {"reasoning": "It is.", "answer": "sunny"},
    ]
    agent = engine.streamify(engine.ReAct("question -> answer", tools=[tool]), async_streaming=False)
    with engine.context(lm=ScriptedLM(script)):
        told = [item.message for item in agent(question="q") if isinstance(item, engine.StatusMessage)]
    assert told == ["Calling the tool weather ...", "The tool is done."]


def test_errors_have_dspys_names() -> None:
    with pytest.raises(engine.DSPyError):
        engine.Predict("question -> answer")("by position")
    with OpenAIServer(api_key="sk-right") as server:
        lm = engine.LM("openai/m", api_base=server.url, api_key="sk-wrong", cache=False, num_retries=0)
        with pytest.raises(engine.LMAuthError):
            lm("hi")
    assert engine.__version__


def test_a_refusal_in_words_is_quoted_on_its_row() -> None:
    rows = [engine.Example(question="q", answer="1").with_inputs("question")]
    evaluate = engine.Evaluate(devset=rows, metric=engine.answer_exact_match)
    with engine.context(lm=ScriptedLM(lambda _request: "I am sorry, I cannot help with that.")):
        (failed,) = evaluate(STEP).failures
    assert failed.error is not None
    assert failed.error.endswith("It begins: 'I am sorry, I cannot help with that.'.")
    assert failed.error.count("It begins") == 1
    with engine.context(lm=ScriptedLM(lambda _request: " ")):
        (failed,) = evaluate(STEP).failures
    assert failed.error is not None
    assert "is empty" in failed.error
    assert "begins" not in failed.error


def test_settings_of_dspys_own_client_are_not_sent() -> None:
    with OpenAIServer() as server:
        lm = engine.LM(
            "openai/test-model",
            api_base=server.url,
            api_key="sk-test",
            cache=False,
            use_developer_role=True,
            finetuning_model="other",
            launch_kwargs={"port": 1},
            temperature=0.5,
        )
        lm("hi")
        assert server.requests[0].keys() - {"stream"} == {"model", "messages", "temperature"}


def test_an_answer_that_was_cut_off_is_told(caplog: pytest.LogCaptureFixture) -> None:
    lm = ScriptedLM(lambda _request: Reply((Choice("[[ ## answer ## ]]\nParis is the cap", "length"),)))
    with engine.context(lm=lm), caplog.at_level(logging.WARNING):
        assert STEP(question="q").answer == "Paris is the cap"
    assert "scripted: The reply was cut off at the token limit: raise max_tokens." in caplog.text
