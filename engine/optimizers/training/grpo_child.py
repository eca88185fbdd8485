"""Reinforcement with trl, in the child process: holds the policy, writes its answers, learns from rewards. A door to torch.

The worker runs the program (`engine.optimizers.training.grpo`); reports and checkpoints are those of `engine.optimizers.training.sft`.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import datasets
import peft
import torch
import transformers
import trl

from engine.basics.data import JsonObject
from engine.errors import LMError
from engine.lm.exchange import Request
from engine.lm.local.jobs import jobs_of
from engine.lm.local.sources import Source
from engine.lm.local.weights import Writer, chat_ids, load_base, write
from engine.optimizers.training.child import Channel, ChildMessage, TrainingJob
from engine.optimizers.training.sft import RATES, Reporter, adapter_config, check_fit, resumed_from
from engine.search.trainers import TrainSettings

_MOST_AT_ONCE = 32


class Stopped(Exception):  # noqa: N818 - no error
    """The worker wants no further round."""


class Policy:
    """The policy and the tokens that it wrote in this round, so that exactly they are learned from."""

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.model, self.tokenizer, self._name = model, tokenizer, name
        self._written: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {}

    def answers(self, questions: list[JsonObject]) -> list[ChildMessage]:
        """Return the answers to questions, written in one batch."""
        training = self.model.training
        self.model.eval()
        jobs: list[Any] = []
        for asked in questions:
            request = Request(self._name, tuple(asked["messages"]), asked["params"])
            try:
                jobs.append(jobs_of(Source(self._name, self._name), request))
            except LMError as error:
                jobs.append(error)
        write(
            Writer(self.model, self.tokenizer),
            [job for some in jobs if isinstance(some, list) for job in some],
        )
        self.model.train(training)
        return [self._answer(asked, found) for asked, found in zip(questions, jobs, strict=True)]

    def _answer(self, asked: JsonObject, jobs: Any) -> ChildMessage:
        try:
            if isinstance(jobs, LMError):
                raise jobs
            done = [job.future.result() for job in jobs]
        except LMError as error:
            return ChildMessage(kind="written", id=asked["id"], error=type(error).__name__, text=str(error))
        for one in done:
            self._written.setdefault(_key(asked["messages"], one.text), []).append(one.ids)
        plain = tuple(replace(one, ids=((), ()), logprobs=None) for one in done)
        return ChildMessage(kind="written", id=asked["id"], completions=plain)

    def tokens(self, member: JsonObject) -> tuple[list[int], list[int]]:
        """Return the tokens of a rollout's prompt and answer as they were written, else as the tokenizer reads them."""
        written = self._written.get(_key(member["messages"], member["completion"]))
        if written:
            prompt, answer = written.pop() if len(written) > 1 else written[0]
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
    """trl's rollout function: each generation batch is one round of the driver's. `number` is the next round's."""

    def __init__(self, channel: Channel, policy: Policy, work: TrainingJob) -> None:
        self.policy, self.number = policy, work.resume
        self._channel, self._seed = channel, work.settings.seed
        self._kept: list[list[JsonObject]] | None = None
        self.reward: float | None = None
        channel.answer = self._answer

    def _answer(self, questions: list[JsonObject]) -> None:
        for message in self.policy.answers(questions):
            self._channel.send(message)

    def ask(self) -> list[list[JsonObject]]:
        """Return the groups of the next round. Raises Stopped."""
        self.policy.forget()
        self._channel.send(ChildMessage(kind="round", step=self.number))
        line = self._channel.wait("groups")
        if line is None:
            raise Stopped
        groups: list[list[JsonObject]] = line["groups"]
        self.number += 1
        rewards = [one["reward"] for group in groups for one in group if one["reward"] is not None]
        self.reward = sum(rewards) / max(1, len(rewards))
        return groups

    def first(self) -> int:
        """Run the first round, and return how many groups one has."""
        self._kept = self.ask()
        return max(1, len(self._kept))

    def __call__(self, prompts: list[Any], trainer: Any) -> JsonObject:
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


def train(work: TrainingJob, channel: Channel) -> None:
    """Train, and report to the channel. Raises TrainingError and what the libraries raise."""
    settings, before = work.settings, resumed_from(work)
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    transformers.set_seed(settings.seed)
    model, tokenizer = load_base(work.base)
    check_fit(model, tokenizer, settings.base_model)
    model.config.use_cache = True
    model = peft.get_peft_model(model, adapter_config(settings))
    if before:  # the first round is asked before the trainer loads it
        model.load_adapter(before, adapter_name="default", is_trainable=True)
    if torch.cuda.is_available():
        model.to("cuda")
    rounds = Rounds(channel, Policy(model, tokenizer, settings.base_model), work)
    reporter = None
    try:
        groups = rounds.first()
        trainer = trl.GRPOTrainer(
            model=model,
            args=_arguments(work, groups),
            reward_funcs=given_reward,
            train_dataset=datasets.Dataset.from_dict(
                {"prompt": [str(n) for n in range(groups * settings.rounds)]}
            ),
            processing_class=tokenizer,
            rollout_func=rounds,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        reporter = Reporter(
            work, channel, trainer, lambda state: int(state.num_input_tokens_seen), lambda: rounds.reward
        )
        trainer.add_callback(reporter)
        trainer.train(resume_from_checkpoint=before)
    except Stopped:
        if reporter is not None:
            reporter.keep_last(trainer.state)


def _arguments(work: TrainingJob, groups: int) -> object:
    settings: TrainSettings = work.settings
    cuda, size = torch.cuda.is_available(), settings.group_size
    # As many groups at once as give whole batches of at most this many rows; the round stays one step.
    at_once = max(
        n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * size <= _MOST_AT_ONCE)
    )
    return trl.GRPOConfig(
        output_dir=work.folder,
        max_steps=settings.rounds,
        per_device_train_batch_size=size * at_once,
        gradient_accumulation_steps=groups // at_once,
        num_generations=size,
        learning_rate=settings.learning_rate or RATES["grpo"],
        # The first rounds' rewards are few, and Adam's first steps large.
        warmup_steps=max(1, settings.rounds // 10),
        save_strategy="no",  # the reporter saves, without pickles
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        shuffle_dataset=False,
        ignore_data_skip=True,
        seed=settings.seed,
        bf16=cuda,
        use_cpu=not cuda,
        gradient_checkpointing=cuda,
        dataloader_pin_memory=cuda,
        temperature=1.0,
    )
