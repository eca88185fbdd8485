"""Tokens a second of models of this machine: requests that are made at once, against the same ones after one another.

Run it in the environment with torch: `.venv-weights/bin/python tests/benchmarks/local_models.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from support.training import tiny_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

import engine
from engine import loop

ANSWER = 32


def random_model(folder: Path, tokenizer_of: Path, width: int = 512, layers: int = 12) -> Path:
    """Make an untrained model of some 50 million weights with the tiny model's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def measured(name: str, prompts: list[str]) -> tuple[float, float, bool]:
    """Return seconds of all prompts after one another and at once, and whether the answers are equal."""
    lm = engine.LM(name, cache=False, max_tokens=ANSWER)
    lm(prompts[0])  # loaded

    async def at_once() -> list[str]:
        return [found[0] for found in await asyncio.gather(*(lm.acall(prompt) for prompt in prompts))]

    started = time.perf_counter()
    single = [lm(prompt)[0] for prompt in prompts]
    between = time.perf_counter()
    batched = loop.run(at_once())
    return between - started, time.perf_counter() - between, single == batched


def main() -> None:
    """Measure the tiny model and a larger one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=24)
    rows = parser.parse_args().rows
    prompts = [row["message"] for row in tiny_model.team_rows(rows, seed=3)]
    where = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} threads"
    )
    print(f"{rows} prompts, answers of up to {ANSWER} tokens, {where}")
    print("| model | one at a time | at once | times quicker | equal answers |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        tiny = tiny_model.tiny_model(Path(folder, "tiny"))
        large = random_model(Path(folder, "large"), tiny)
        for title, model in (("tiny, 2 layers", tiny), ("50 million weights, 12 layers", large)):
            alone, together, equal = measured(f"local/{model}", prompts)
            print(
                f"| {title} | {alone:.2f} s | {together:.2f} s | {alone / together:.1f} | {'yes' if equal else 'no'} |"
            )


if __name__ == "__main__":
    main()
