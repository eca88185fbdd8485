"""Supervised training with trl, in the child process: chat rows, loss on the last message alone. One of the doors to torch.

Reports and checkpoints are the same for reinforcement (`engine.optimizers.training.grpo_child`). Checkpoints are a model's files, with the state of the optimizer next to them while they may be resumed from; all of it is
safetensors and JSON.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import orjson
import peft
import torch
import transformers
import trl
from safetensors.torch import load_file, save_file

from engine.basics.data import JsonObject, Values
from engine.basics.home import write_whole
from engine.basics.text import counted
from engine.errors import InvalidRequestError, TrainingError
from engine.lm.local.sources import CHECKPOINTS
from engine.lm.local.weights import Writer, chat_ids, load_base
from engine.optimizers.training.child import (
    OPTIMIZER,
    RESUMED_FROM,
    SCHEDULE,
    STATE,
    Channel,
    ChildMessage,
    TrainingJob,
)
from engine.search.trainers import ChatRow, TrainSettings

RATES = {"lora": 2e-4, "full": 2e-5, "grpo": 2e-5}
"""Learning rates where none is set: trl's for all weights, and ten times as much for an adapter, as trl advises."""

LARGE = 200_000_000
"""Weights from which activations are calculated again instead of kept: less memory for a third more time."""

_PICKLES = (".pt", ".pth", ".bin", ".pkl")
_LINES = 200
"""Lines of progress, at most: enough for a curve."""


def train(work: TrainingJob, channel: Channel) -> None:
    """Train, and report to the channel. Raises TrainingError and what the libraries raise."""
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    model, tokenizer = load_base(work.base)
    check_fit(model, tokenizer, work.settings.base_model)
    rows = encoded(work.rows, Writer(model, tokenizer), work.settings)
    trainer = make_trainer(model, tokenizer, rows, work.settings, Path(work.folder))
    epoch = sum(len(row["input_ids"]) for row in rows)
    reporter = Reporter(work, channel, trainer, lambda state: int(epoch * (state.epoch or 0.0)))
    trainer.add_callback(reporter)
    trainer.train(resume_from_checkpoint=resumed_from(work))


def resumed_from(work: TrainingJob) -> str | None:
    """Return the folder of the checkpoint that the training goes on from; None for a new one.

    Raises TrainingError where it holds a pickle: none is written here, and trl would read it.
    """
    if not work.resume:
        return None
    folder = Path(work.folder, CHECKPOINTS, str(work.resume))
    if foreign := sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLES):
        raise TrainingError(
            f"{folder} holds {', '.join(foreign)}, which no training here has written: remove it, and start the run again."
        )
    return str(folder)


def check_fit(model: Any, tokenizer: Any, name: str) -> None:
    """Raise TrainingError for a tokenizer without a chat template, or with tokens that the model does not have."""
    if not tokenizer.chat_template:
        raise TrainingError(
            f"The base model {name!r} has no chat template, so it cannot be trained on conversations: choose its "
            "instruction-tuned version."
        )
    known = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > known:
        raise TrainingError(
            f"The tokenizer of {name!r} has {len(tokenizer):,} tokens and the model knows {known:,}: they do not belong together. "
            "Put the model's own tokenizer into its folder."
        )


def encoded(rows: Sequence[ChatRow], writer: Writer, settings: TrainSettings) -> list[dict[str, list[int]]]:
    """Return rows as tokens and labels, the prompt just as the model will be asked. Raises TrainingError for rows that are too long."""
    name, encoded_rows = settings.base_model, []
    longest = min(settings.max_length, writer.limit)
    long: list[tuple[str, int]] = []
    for number, row in enumerate(rows, 1):
        label = row_label(row, number)
        try:
            prompt = chat_ids(writer.tokenizer, row.messages[:-1], name)
        except InvalidRequestError as error:
            raise TrainingError(f"{label[0].upper()}{label[1:]}: {error}") from error
        answer = _answer_ids(row, prompt, writer)
        if len(prompt) + len(answer) > longest:
            long.append((label, len(prompt) + len(answer)))
        encoded_rows.append({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer})
    if long:
        label, tokens = max(long, key=lambda one: one[1])
        limit = f"the setting max_length allows {longest:,}"
        advice = "Raise max_length, leave these rows out, or use fewer demonstrations."
        if longest < settings.max_length:
            limit = f"the model {name!r} takes {longest:,}"
            advice = (
                "Leave these rows out, use fewer demonstrations, or take a base model with a longer context."
            )
        verb = "is" if len(long) == 1 else "are"
        raise TrainingError(
            f"{len(long):,} of {counted(len(rows), 'training row')} {verb} too long, so that answers would be cut: {label} has "
            f"{tokens:,} tokens, and {limit}. {advice}"
        )
    return encoded_rows


def row_label(row: ChatRow, number: int) -> str:
    """Return which row this is: its place among the training rows, and its step.

    >>> row_label(ChatRow((), "route"), 3)
    'training row 3 (step route)'
    """
    return f"training row {number}" + (f" (step {row.step})" if row.step else "")


def _answer_ids(row: ChatRow, prompt: list[int], writer: Writer) -> list[int]:
    """Return the tokens to learn: as the chat template writes the last message, up to the token that ends an answer."""
    tokenizer = writer.tokenizer
    content = str(row.messages[-1].get("content") or "")
    turns = [dict(message) for message in row.messages]
    try:
        whole = list(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"])
    except Exception:  # noqa: BLE001 - a template is a small program and raises what it likes; the text alone is left
        whole = []
    if whole[: len(prompt)] == prompt:
        answer = whole[len(prompt) :]
    else:  # a template that writes earlier turns otherwise than the one to answer
        answer = [*tokenizer(content, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    ends = [place for place, token in enumerate(answer) if token in writer.ends]
    return answer[: ends[0] + 1] if ends else answer


def make_trainer(
    model: Any, tokenizer: Any, rows: Sequence[Values], settings: TrainSettings, folder: Path
) -> Any:
    """Return trl's trainer for these rows."""
    gpu = torch.cuda.is_available()
    if settings.method == "full":
        model = model.float()  # small updates are lost in half precision
    steps = -(-len(rows) // settings.batch_size) * settings.epochs
    arguments = trl.SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate or RATES[settings.method],
        warmup_steps=int(0.03 * steps),
        max_length=None,  # too long rows are refused, not cut
        seed=settings.seed,
        bf16=gpu and torch.cuda.is_bf16_supported(),
        gradient_checkpointing=sum(p.numel() for p in model.parameters()) > LARGE,
        logging_steps=max(1, int(steps) // _LINES),
        save_strategy="no",  # the reporter saves, without pickles
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=gpu,
    )
    trainer = trl.SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=datasets.Dataset.from_list([dict(row) for row in rows]),
        processing_class=tokenizer,
        peft_config=adapter_config(settings) if settings.method == "lora" else None,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def adapter_config(settings: TrainSettings) -> peft.LoraConfig:
    """Return the adapter's shape: on every linear layer, without dropout, so that a resumed training goes the same way."""
    return peft.LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


class Reporter(transformers.TrainerCallback):  # type: ignore[misc]  # it has no types where it is not installed
    """Follows a training: progress, checkpoints, stop, and the state with which it goes on.

    `tokens` returns the tokens that were seen up to a state, `reward` the last round's reward.
    """

    def __init__(
        self,
        work: TrainingJob,
        channel: Channel,
        trainer: Any,
        tokens: Callable[[Any], int],
        reward: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._work, self._channel, self._trainer = work, channel, trainer
        self._tokens, self._reward = tokens, reward
        self._folder = Path(work.folder, CHECKPOINTS)
        self._marks: set[int] = set()
        self._begun, self._waited = time.monotonic(), 0.0
        self._to_restore: dict[str, torch.Tensor] = {}

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Plan the checkpoints, and put the optimizer into the state of the one that is gone on from."""
        number = self._work.settings.checkpoints
        self._marks = {max(1, round(state.max_steps * (n + 1) / number)) for n in range(number)}
        if self._work.resume:
            self._restore(self._folder / str(self._work.resume))
        self._begun = time.monotonic()
        self._report(state, None)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Put chance into the state of the checkpoint, before the first step."""
        if self._to_restore:
            torch.set_rng_state(self._to_restore["rng"])
            if "rng_gpu" in self._to_restore and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._to_restore["rng_gpu"])
            self._to_restore = {}

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep a checkpoint where one is planned or the training is stopped, and wait for its score."""
        stopping = self._channel.stopping.is_set()
        if not stopping and state.global_step not in self._marks:
            return
        self._save(state)
        started = time.monotonic()
        goes_on = self._channel.goes_on_after(self._message("checkpoint", state))
        self._waited += time.monotonic() - started
        if stopping or not goes_on:
            control.should_training_stop = True

    def keep_last(self, state: Any) -> None:
        """Keep a checkpoint of a training that was stopped between two steps, where its last step has none."""
        if state.global_step and not (self._folder / str(state.global_step)).is_dir():
            self._save(state)
            self._channel.send(self._message("checkpoint", state))

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        """Report the loss."""
        if logs and "loss" in logs:
            self._report(state, float(logs["loss"]))

    def _report(self, state: Any, loss: float | None) -> None:
        self._channel.send(self._message("progress", state, loss))

    def _message(self, kind: Any, state: Any, loss: float | None = None) -> ChildMessage:
        return ChildMessage(
            kind=kind,
            step=state.global_step,
            steps=state.max_steps,
            loss=loss,
            reward=self._reward(),
            seconds=self._work.seconds + time.monotonic() - self._begun - self._waited,
            tokens=self._tokens(state),
            device=self._trainer.args.device.type,
        )

    def _save(self, state: Any) -> None:
        """Write a checkpoint, whole or not at all; older ones can no longer be resumed from."""
        done = self._folder / str(state.global_step)
        part = self._folder / f"{state.global_step}.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            save_weights(self._trainer.model, self._trainer.processing_class, part, self._work.base)
            save_state(self._trainer.optimizer, self._trainer.lr_scheduler, part)
            state.save_to_json(str(part / STATE))
            shutil.rmtree(done, ignore_errors=True)
            part.rename(done)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        for older in self._folder.iterdir():
            if older != done:
                for name in RESUMED_FROM:
                    (older / name).unlink(missing_ok=True)

    def _restore(self, folder: Path) -> None:
        tensors = load_file(folder / OPTIMIZER)
        schedule = orjson.loads((folder / SCHEDULE).read_bytes())
        self._to_restore = {name: tensors.pop(name) for name in list(tensors) if name.startswith("rng")}
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in tensors.items():
            number, _, name = key.partition(".")
            state.setdefault(int(number), {})[name] = tensor
        groups = self._trainer.optimizer.state_dict()["param_groups"]
        for group, rate in zip(groups, schedule["rates"], strict=True):
            group["lr"] = rate
        self._trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self._trainer.lr_scheduler.load_state_dict(schedule["schedule"])


def save_weights(model: Any, tokenizer: Any, folder: Path, base: str) -> None:
    """Write a model's weights, or its adapter's, with the tokenizer."""
    more: JsonObject = {}
    if isinstance(model, peft.PeftModel):
        more = {
            "save_embedding_layers": False
        }  # they are as in the base; to find that out it would ask the hub
        for config in model.peft_config.values():
            config.base_model_name_or_path = base
    model.save_pretrained(folder, safe_serialization=True, **more)
    tokenizer.save_pretrained(folder)


def save_state(optimizer: Any, scheduler: Any, folder: Path) -> None:
    """Write the optimizer's state, the schedule of the learning rate and the state of chance."""
    tensors = {
        f"{number}.{name}": torch.as_tensor(value).detach().cpu().contiguous()
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }
    tensors["rng"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["rng_gpu"] = torch.cuda.get_rng_state()
    save_file(tensors, folder / OPTIMIZER)
    schedule = {
        "rates": [float(group["lr"]) for group in optimizer.param_groups],
        "schedule": scheduler.state_dict(),
    }
    write_whole(folder / SCHEDULE, orjson.dumps(schedule, option=orjson.OPT_NON_STR_KEYS))
