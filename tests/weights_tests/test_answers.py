"""Models of this machine answer: batches, adapters, whole weights, bad input. The weights are real and tiny."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import torch
from support.training import tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

import engine
from engine import loop
from engine.errors import ContextWindowExceededError, InvalidRequestError, LMTimeoutError, ModelNotFoundError
from engine.lm.choice import ModelChoice
from engine.lm.connection import check_connection
from engine.lm.local.serving import merge_adapter
from engine.lm.tuned import TunedModel, model_folder, save_tuned

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

MESSAGES = [row["message"] for row in tiny_model.team_rows(24, seed=9)]


@pytest.fixture
def adapters(tiny_base, data_folder) -> list[str]:
    """Names of two tuned models with different adapters on the same base."""
    names = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(tiny_base)
        settings = peft.LoraConfig(
            r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"
        )
        save_tuned(TunedModel(name=f"one{seed}", trainer="local", base_model=str(tiny_base), finished=True))
        peft.get_peft_model(model, settings).save_pretrained(model_folder(f"one{seed}"))
        names.append(f"tuned/one{seed}")
    return names


def _asked(lm: engine.LM, texts, **params):
    """Return the answers to texts that are asked at once."""

    async def together():
        return await asyncio.gather(*(lm.acall(text, **params) for text in texts))

    return [found[0] for found in loop.run(together())]


def test_a_batch_answers_as_single_requests_do_with_two_adapters_and_their_base_in_one_process(
    tiny_base, adapters
):
    names = [f"local/{tiny_base}", *adapters]
    lms = [engine.LM(name, cache=False, max_tokens=12) for name in names]
    mixed = [(lm, text) for text in MESSAGES[:8] for lm in lms]

    async def together():
        return await asyncio.gather(*(lm.acall(text) for lm, text in mixed))

    batched = [found[0] for found in loop.run(together())]
    assert batched == [lm(text)[0] for lm, text in mixed]
    assert len({tuple(batched[n::3]) for n in range(3)}) == 3


def test_the_answer_is_what_transformers_itself_writes(tiny_base):
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": MESSAGES[0]}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    ids = model.generate(**asked, max_new_tokens=12, do_sample=False)[0, asked["input_ids"].shape[1] :]
    lm = engine.LM(f"local/{tiny_base}", cache=False, max_tokens=12)
    assert lm(MESSAGES[0]) == [tokenizer.decode(ids, skip_special_tokens=True)]


def test_a_program_is_answered_cached_and_counted(tiny_base):
    lm = engine.LM(f"local/{tiny_base}", max_tokens=40)
    step = engine.Predict(tiny_model.TASK)
    with engine.context(lm=lm):
        first, again = step(message=MESSAGES[0]), step(message=MESSAGES[0])
    assert first.team == again.team
    assert first.team in tiny_model.WORDS
    paid, kept = lm.history[-2:]
    assert paid["usage"]["prompt_tokens"] > 20
    assert kept["usage"]["prompt_tokens"] == 0
    assert lm.price() == (0.0, 0.0)


def test_seeds_stops_lengths_and_log_probabilities(tiny_base):
    lm = engine.LM(f"local/{tiny_base}", cache=False, max_tokens=16)
    warm = {"temperature": 1.5, "seed": 5}
    one, two = lm("Hi", n=2, **warm)
    assert [lm("Hi", **warm)[0], lm("Hi", temperature=1.5, seed=6)[0]] == [one, two]
    assert _asked(lm, ["Hi", *MESSAGES], **warm)[0] == one != two
    whole = lm("Hi")[0]
    assert lm("Hi", stop=whole[3:6])[0] == whole[: whole.find(whole[3:6])]
    reply = loop.run(
        lm.complete(lm.request(({"role": "user", "content": "Hi"},), max_tokens=3, logprobs=True))
    )
    assert reply.choices[0].finish_reason == "length"
    assert (reply.usage.output_tokens, reply.usage.cost) == (3, 0.0)
    assert len(reply.choices[0].logprobs["content"]) == 3
    assert all(token["logprob"] <= 0 for token in reply.choices[0].logprobs["content"])


def test_pieces_come_as_they_are_written(tiny_base):
    step = engine.Predict(tiny_model.TASK)
    stream = engine.streamify(step, stream_listeners=[engine.StreamListener("team")], async_streaming=False)
    with engine.context(lm=engine.LM(f"local/{tiny_base}", cache=False, max_tokens=40)):
        *pieces, prediction = list(stream(message=MESSAGES[0]))
    assert "".join(piece.chunk for piece in pieces).strip() == prediction.team


def test_whole_weights_answer_and_an_adapter_merged_by_a_child_answers_like_itself(
    tiny_base, adapters, tmp_path
):
    folder = merge_adapter(adapters[0], tmp_path / "merged")
    own, merged = (engine.LM(name, cache=False, max_tokens=12) for name in (adapters[0], f"local/{folder}"))
    assert _asked(own, MESSAGES[:4]) == _asked(merged, MESSAGES[:4])
    save_tuned(TunedModel(name="whole", trainer="local", method="full", base_model=str(tiny_base)))
    model_folder("whole").joinpath("config.json").write_bytes((folder / "config.json").read_bytes())
    for file in folder.iterdir():
        (model_folder("whole") / file.name).write_bytes(file.read_bytes())
    assert _asked(engine.LM("tuned/whole", cache=False, max_tokens=12), MESSAGES[:4]) == _asked(
        own, MESSAGES[:4]
    )


def test_what_cannot_be_answered_is_one_sentence(tiny_base, adapters, tmp_path):
    lm = engine.LM(f"local/{tiny_base}", cache=False, num_retries=0)
    with pytest.raises(ContextWindowExceededError, match=r"has \d,\d+ tokens .* takes 1,024"):
        lm("word " * 1500)
    with pytest.raises(InvalidRequestError, match="text only"):
        lm(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    with pytest.raises(LMTimeoutError, match="raise the timeout"):
        engine.LM(f"local/{tiny_base}", cache=False, num_retries=0, timeout=1e-9)("Hi")
    with pytest.raises(ModelNotFoundError, match="cannot be loaded"):
        engine.LM("local/no-such/model", cache=False, num_retries=0)("Hi")
    plain = tmp_path / "plain"
    AutoModelForCausalLM.from_pretrained(tiny_base).save_pretrained(plain)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(plain)
    with pytest.raises(InvalidRequestError, match="no chat template"):
        engine.LM(f"local/{plain}", cache=False, num_retries=0)("Hi")
    settings = model_folder("one1") / "adapter_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "r": 8}))
    with pytest.raises(ModelNotFoundError, match="does not fit its base model"):
        engine.LM("tuned/one1", cache=False, num_retries=0)("Hi")
    assert loop.run(check_connection(ModelChoice(name=f"local/{tiny_base}")))[0] == ""


def test_a_cancelled_call_stops_being_written_and_the_next_is_answered(tiny_base):
    lm = engine.LM(f"local/{tiny_base}", cache=False)

    async def given_up():
        # Many long texts: seconds of writing, which are given up at once.
        work = asyncio.ensure_future(lm.acall("Hi", temperature=3.0, n=32, max_tokens=900))
        await asyncio.sleep(0.05)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return work.cancelled()

    assert loop.run(given_up())
    assert lm("Hi", max_tokens=2)


def test_a_process_that_is_interrupted_ends_cleanly(tiny_base, data_folder):
    code = (
        "import engine, os, signal, threading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        f"lm = engine.LM('local/{tiny_base}', cache=False)\n"
        "lm('Hi', max_tokens=2)\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    for _ in range(10_000): lm('Hi', temperature=3.0, n=8, max_tokens=900)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr


def test_asking_for_names_and_prices_loads_no_torch(tiny_base):
    code = f"import engine, sys; engine.LM('local/{tiny_base}').price(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert Path(tiny_base).is_dir()
