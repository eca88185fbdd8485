"""The tiny model answers in the layout, by chance."""

from __future__ import annotations

from pathlib import Path

import torch
from support.training import tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer


def test_an_untrained_tiny_model_answers_readably_and_by_chance(tiny_base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    rows = tiny_model.team_rows(32, seed=5)
    chats = [tiny_model.chat(tiny_model.TASK, {"message": row["message"]}, {"team": "x"}) for row in rows]
    asked = tokenizer.apply_chat_template(
        [chat[:-1] for chat in chats],
        add_generation_prompt=True,
        padding=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.no_grad():
        ids = model.generate(**asked, max_new_tokens=24, do_sample=False)
    answers = [
        tokenizer.decode(row[asked["input_ids"].shape[1] :], skip_special_tokens=True).split("\n")
        for row in ids
    ]
    assert all(answer[0] == "[[ ## team ## ]]" for answer in answers)
    assert all(answer[-1] == "[[ ## completed ## ]]" for answer in answers)
    assert all(answer[1] in tiny_model.WORDS for answer in answers)
    right = sum(answer[1] == row["team"] for answer, row in zip(answers, rows, strict=True))
    assert right < 0.6 * len(rows)
