"""The cost of training on this machine beyond plain trl, on the same rows: `make bench-weights`, in `.venv-weights`.

Both train the same small model in this process, in turns, each first in every second round; the first round warms up and does
not count, of the others the least does. CPU seconds leave out what other programs on the machine do.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import datasets
import peft
import torch
import transformers
import trl
from support.training import tiny_model

from engine.lm.local.weights import Writer, load_base
from engine.optimizers.training import sft
from engine.optimizers.training.child import Channel, ChildMessage, TrainingJob
from engine.search.trainers import ChatRow, TrainSettings

WIDTH, ROWS, EPOCHS, ROUNDS = 192, 64, 3, 3


class Unheard(Channel):
    """A channel whose worker always goes on at once."""

    def goes_on_after(self, message: ChildMessage) -> bool:
        """Report a checkpoint, and go on."""
        self.send(message)
        return True


def base(folder: Path) -> str:
    """Make the base model: two layers, wider than the tests', untrained."""
    chats = tiny_model.guesses(tiny_model.TASK, 160, 0)
    tokenizer = tiny_model._tokenizer(chats)
    model = tiny_model._model(len(tokenizer), [], tokenizer, 0, WIDTH)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def chat_rows() -> list[ChatRow]:
    """Return the rows that both learn."""
    rows = tiny_model.team_rows(ROWS, seed=3)
    return [
        ChatRow(tuple(tiny_model.chat(tiny_model.TASK, {"message": r["message"]}, {"team": r["team"]})))
        for r in rows
    ]


def ours(model: str, folder: Path, settings: TrainSettings) -> Callable[[], object]:
    """Return the training as the child process does it, checkpoints and progress included."""
    loaded, tokenizer = load_base(model)
    encoded = sft.encoded(chat_rows(), Writer(loaded, tokenizer), settings)
    trainer = sft.make_trainer(loaded, tokenizer, encoded, settings, folder)
    channel = Unheard(io.BytesIO())  # type: ignore[arg-type]
    work = TrainingJob(base=model, folder=str(folder), settings=settings)
    tokens = sum(len(row["input_ids"]) for row in encoded)
    reporter = sft.Reporter(work, channel, trainer, lambda state: int(tokens * (state.epoch or 0.0)))
    trainer.add_callback(reporter)
    return lambda: trainer.train()


def plain(model: str, folder: Path, settings: TrainSettings) -> Callable[[], object]:
    """Return the same training as its users write it with trl: prompts and completions, no checkpoints."""
    loaded, tokenizer = load_base(model)
    rows = [{"prompt": list(r.messages[:-1]), "completion": [r.messages[-1]]} for r in chat_rows()]
    trainer = trl.SFTTrainer(
        model=loaded,
        args=trl.SFTConfig(
            output_dir=str(folder),
            per_device_train_batch_size=settings.batch_size,
            num_train_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=peft.LoraConfig(
            r=settings.rank, lora_alpha=2 * settings.rank, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return lambda: trainer.train()


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return CPU seconds and seconds of a training."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def overhead(folder: Path) -> str:
    """Measure both sides in turns; return a row of the guide's table."""
    model = base(folder / "base")
    settings = TrainSettings(base_model=model, epochs=EPOCHS, learning_rate=1e-3, checkpoints=2)
    found: dict[Any, list[tuple[float, float]]] = {ours: [], plain: []}
    for number in range(ROUNDS + 1):
        for side in (ours, plain) if number % 2 else (plain, ours):
            times = timed(side(model, folder / f"{side.__name__}{number}", settings))
            print(f"round {number}, {side.__name__}: {times[0]:.2f} s of CPU", file=sys.stderr, flush=True)
            if number:
                found[side].append(times)
    least = {side: tuple(map(min, zip(*times, strict=True))) for side, times in found.items()}
    (cpu, wall), (plain_cpu, plain_wall) = least[ours], least[plain]
    steps = ROWS // settings.batch_size * EPOCHS
    return (
        f"| training, {steps} steps with {settings.checkpoints} checkpoints | {cpu:.1f} s ({wall:.1f} s of time) | "
        f"{plain_cpu:.1f} s ({plain_wall:.1f} s) | {100 * (cpu / plain_cpu - 1):+.1f} % |"
    )


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    print("| what | Tuneboard, CPU seconds | plain trl | difference |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        print(overhead(Path(folder)))


if __name__ == "__main__":
    main()
