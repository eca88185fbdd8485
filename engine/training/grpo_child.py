"""The training process of GRPO: holds the policy, writes its answers, and learns by trl's GRPOTrainer.

It reads and writes one JSON object a line. `engine.training.grpo` is the other side; only that process is to run this.
"""

from __future__ import annotations

import json
import os
import queue
import random
import shutil
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import peft
import torch
import transformers
import trl

from engine.errors import EngineError, LMError
from engine.lm.exchange import Request
from engine.lm.local.jobs import jobs_of
from engine.lm.local.sources import Source
from engine.lm.local.weights import Writer, chat_ids, load_base, write

LEARNING_RATE = 2e-5
"""Of an adapter, where none is given."""

_MOST_AT_ONCE = 32

GATHER = 0.004
"""Seconds to wait for further questions before what waits is written as a batch."""


class Stopped(Exception):  # noqa: N818 - no error
    """The driver wants no further round."""


class Pipe:
    """The pipe to the driver: messages come on a thread of their own, so that none waits for a calculation."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            self._waiting.put(json.loads(line))
        os._exit(1)  # the driver is gone, and with it the use of any further calculation

    def send(self, kind: str, **message: object) -> None:
        """Send a message."""
        self._out.write(json.dumps({"kind": kind, **message}) + "\n")
        self._out.flush()

    def next(self) -> dict[str, Any]:
        """Wait for a message."""
        return self._waiting.get()

    def gathered(self, first: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a message and those that come right behind it."""
        found = [first]
        while len(found) < 256:
            try:
                found.append(self._waiting.get(timeout=GATHER))
            except queue.Empty:
                break
        return found


class Policy:
    """The policy and the tokens that it wrote in this round, so that exactly they are learned from."""

    def __init__(self, pipe: Pipe, model: Any, tokenizer: Any, name: str) -> None:
        self.pipe, self.model, self.tokenizer, self._name = pipe, model, tokenizer, name
        self._written: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {}

    def serve(self, *until: str) -> dict[str, Any]:
        """Answer questions until a message of another kind comes; return that one. Raises Stopped for "stop"."""
        while True:
            messages = self.pipe.gathered(self.pipe.next())
            asked = [message for message in messages if message["kind"] == "write"]
            if asked:
                self._write(asked)
            for message in messages:
                if message["kind"] == "stop":
                    raise Stopped
                if message["kind"] in until:
                    return message

    def _write(self, asked: list[dict[str, Any]]) -> None:
        training = self.model.training
        self.model.eval()
        jobs, every = {}, []
        for message in asked:
            request = Request(self._name, tuple(message["messages"]), message["params"])
            try:
                jobs[message["id"]] = jobs_of(Source(self._name, self._name), request)
                every += jobs[message["id"]]
            except LMError as error:
                self._refuse(message, error)
        write(Writer(self.model, self.tokenizer), every)
        for message in asked:
            if message["id"] in jobs:
                self._answer(message, jobs[message["id"]])
        self.model.train(training)

    def _answer(self, message: dict[str, Any], jobs: list[Any]) -> None:
        try:
            done = [job.future.result() for job in jobs]
        except LMError as error:
            self._refuse(message, error)
            return
        for one in done:
            self._written.setdefault(_key(message["messages"], one.text), []).append(one.ids)
        fields = ("text", "finish_reason", "input_tokens", "output_tokens")
        completions = [{name: getattr(one, name) for name in fields} for one in done]
        self.pipe.send("written", id=message["id"], completions=completions)

    def _refuse(self, message: dict[str, Any], error: LMError) -> None:
        self.pipe.send("written", id=message["id"], error=str(error), type=type(error).__name__)

    def tokens(self, member: dict[str, Any]) -> tuple[list[int], list[int]]:
        """Return the tokens of a rollout's prompt and answer as they were written, else as the tokenizer reads them."""
        kept = self._written.get(_key(member["messages"], member["completion"]))
        if kept:
            prompt, answer = kept.pop() if len(kept) > 1 else kept[0]
            return list(prompt), list(answer)
        answer_ids = self.tokenizer(member["completion"], add_special_tokens=False)["input_ids"]
        return chat_ids(self.tokenizer, member["messages"], self._name), [
            *answer_ids,
            self.tokenizer.eos_token_id,
        ]

    def forget(self) -> None:
        """Forget the tokens of the round before."""
        self._written.clear()


def _key(messages: object, text: str) -> str:
    return json.dumps([messages, text], sort_keys=True)


class Rounds:
    """trl's rollout function: each generation batch is one round of the driver's."""

    def __init__(self, policy: Policy, seed: int, first: int) -> None:
        self.policy, self._seed, self.number = policy, seed, first
        self._kept: list[list[dict[str, Any]]] | None = None
        self.reward = 0.0

    def ask(self) -> list[list[dict[str, Any]]]:
        """Return the groups of the next round."""
        self.policy.forget()
        self.policy.pipe.send("round", round=self.number)
        groups: list[list[dict[str, Any]]] = self.policy.serve("groups")["groups"]
        self.number += 1
        rewards = [one["reward"] for group in groups for one in group if one["reward"] is not None]
        self.reward = sum(rewards) / max(1, len(rewards))
        return groups

    def first(self) -> int:
        """Run the first round, and return how many groups one has."""
        self._kept = self.ask()
        return max(1, len(self._kept))

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """Return as many rollouts as there are prompts, group after group; what is missing has no reward and teaches nothing."""
        groups, self._kept = self._kept or self.ask(), None
        size = trainer.num_generations
        wanted = len(prompts) // size
        random.Random(f"{self._seed} {self.number}").shuffle(groups)
        filler = [{**(groups[0][0] if groups else _NOTHING), "reward": None}] * size
        groups = [*groups[:wanted], *[filler] * (wanted - len(groups))]
        members = [member for group in groups for member in group]
        pairs = [self.policy.tokens(member) for member in members]
        return {
            "prompt_ids": [prompt for prompt, _ in pairs],
            "completion_ids": [answer for _, answer in pairs],
            "logprobs": None,
            "given_reward": [member["reward"] for member in members],
        }


_NOTHING = {"messages": [{"role": "user", "content": "-"}], "completion": "-"}


def given_reward(completions: list[Any], given_reward: list[float | None], **_: object) -> list[float | None]:
    """Return the rewards that came with the rollouts."""
    return given_reward[: len(completions)]


class Reports(transformers.TrainerCallback):  # type: ignore[misc]  # the library has no types
    """Reports progress and checkpoints to the driver, and ends the training where it says so."""

    def __init__(self, rounds: Rounds, folder: Path) -> None:
        self._rounds, self._folder, self._tokens = rounds, folder, 0
        self.ended = "finished"

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: object) -> None:  # noqa: ARG002 - trl's
        """Note the tokens of the training before, which are counted already."""
        self._tokens = int(state.num_input_tokens_seen)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: object) -> None:  # noqa: ARG002 - trl's
        """Report a round's loss and reward."""
        if logs and "loss" in logs:
            tokens = int(logs.get("num_tokens", 0))
            self._rounds.policy.pipe.send(
                "progress",
                step=state.global_step,
                loss=float(logs["loss"]),
                reward=self._rounds.reward,
                tokens=max(0, tokens - self._tokens),
            )
            self._tokens = tokens

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: object) -> None:  # noqa: ARG002 - trl's
        """Put the adapter to the checkpoints, and wait for its score."""
        save_checkpoint(model, self._folder, state.global_step)
        if self._scored(state.global_step) == "end":
            self.ended = "early"
            control.should_training_stop = True

    def _scored(self, step: int) -> str:
        self._rounds.policy.pipe.send("saved", step=step)
        return str(self._rounds.policy.serve("go", "end")["kind"])


def save_checkpoint(model: Any, folder: Path, step: int) -> None:
    """Write the adapter as checkpoint `step`, whole or not at all."""
    target = folder / "checkpoints" / str(step)
    part = target.with_name(f"{step}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part, safe_serialization=True)
    for file in part.glob("README.md"):
        file.unlink()
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def train(pipe: Pipe, asked: dict[str, Any]) -> str:
    """Train; return how it ended."""
    settings, folder = asked["settings"], Path(asked["folder"])
    transformers.set_seed(settings["seed"])
    model, tokenizer = load_base(asked["base"])
    model.config.use_cache = True
    adapter = peft.LoraConfig(
        r=settings["rank"],
        lora_alpha=2 * settings["rank"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    before = folder / "trainer" / f"checkpoint-{asked['done']}"
    again = asked["done"] > 0 and before.is_dir()
    model = peft.get_peft_model(model, adapter)
    model.peft_config["default"].base_model_name_or_path = asked["base"]
    if again:
        model.load_adapter(str(before), adapter_name="default", is_trainable=True)
    if torch.cuda.is_available():
        model.to("cuda")
    rounds = Rounds(
        Policy(pipe, model, tokenizer, Path(asked["folder"]).name),
        settings["seed"],
        asked["done"] if again else 0,
    )
    reports = Reports(rounds, folder)
    trainer = None
    try:
        groups = rounds.first()
        trainer = trl.GRPOTrainer(
            model=model,
            args=_arguments(settings, folder, groups),
            reward_funcs=given_reward,
            train_dataset=_prompts(groups * settings["rounds"]),
            processing_class=tokenizer,
            callbacks=[reports],
            rollout_func=rounds,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train(resume_from_checkpoint=str(before) if again else None)
    except Stopped:
        if trainer is not None and not (folder / "checkpoints").is_dir():
            save_checkpoint(model, folder, max(1, trainer.state.global_step))
            pipe.send("saved", step=max(1, trainer.state.global_step))
        return "stopped"
    return reports.ended


def _prompts(count: int) -> Any:
    import datasets

    return datasets.Dataset.from_dict({"prompt": [str(n) for n in range(count)]})


def _arguments(settings: dict[str, Any], folder: Path, groups: int) -> Any:
    cuda, size = torch.cuda.is_available(), settings["group_size"]
    # As many groups at once as give whole batches of at most this many rows; the round stays one step.
    at_once = max(
        n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * size <= _MOST_AT_ONCE)
    )
    return trl.GRPOConfig(
        output_dir=str(folder / "trainer"),
        max_steps=settings["rounds"],
        per_device_train_batch_size=size * at_once,
        gradient_accumulation_steps=groups // at_once,
        num_generations=size,
        learning_rate=settings["learning_rate"] or LEARNING_RATE,
        warmup_steps=max(
            1, settings["rounds"] // 10
        ),  # the first rounds' rewards are few, and Adam's first steps large
        save_strategy="steps",
        save_steps=max(1, -(-settings["rounds"] // settings["checkpoints"])),
        save_total_limit=2,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        shuffle_dataset=False,
        ignore_data_skip=True,
        seed=settings["seed"],
        bf16=cuda,
        use_cpu=not cuda,
        gradient_checkpointing=cuda,
        dataloader_pin_memory=cuda,
        temperature=1.0,
    )


def main() -> None:
    """Train what the first line asks for."""
    # What libraries print must not come between the messages.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    pipe = Pipe(out)
    started = time.monotonic()
    try:
        ended = train(pipe, pipe.next())
        pipe.send("done", ended=ended, seconds=time.monotonic() - started)
    except EngineError as error:
        pipe.send("failed", message=str(error))
    except Exception as error:  # noqa: BLE001 - the end of the process: its reason goes to the user, the whole to the log
        traceback.print_exc()
        pipe.send("failed", message=_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
        return "The training ran out of memory: lower the group size or the length of rows, or take a smaller base model."
    if isinstance(error, OSError) and error.errno == 28:
        return "The disk is full: make room, and start the run again to go on from the last checkpoint."
    return f"The training failed ({type(error).__name__}: {' '.join(str(error).split())[:300]})."


if __name__ == "__main__":
    main()
