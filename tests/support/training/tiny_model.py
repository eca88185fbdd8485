"""A language model small enough to be made and trained within a test: two layers, its own tokenizer, no download.

It answers in the chat layout from the start, with labels by chance, and finds the words that decide a label: a stand-in
for what a real base model brings. Importing this module loads no torch; making a model does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from engine.adapters.chat import ChatAdapter
from engine.signature import Signature

WORDS = {
    "billing": ("invoice", "refund", "charge", "payment"),
    "shipping": ("parcel", "courier", "tracking", "delivery"),
    "access": ("password", "login", "account", "reset"),
    "sales": ("quote", "offer", "discount", "upgrade"),
}
"""Teams, and the words by which a message is theirs."""
TASK = "message -> team: Literal['billing', 'shipping', 'access', 'sales']"
SENTENCES = (
    "Hello, please look at the {} from last week.",
    "My {} is wrong again.",
    "Could you tell me about the {}?",
    "I have asked three times about this {} now.",
    "What happened to the {} yesterday?",
    "The {} does not work for us.",
    "A question about one {} for my team.",
    "Thanks, but the {} is still open.",
    "We need help with the {} today.",
    "Is there any news on the {}, please?",
)
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def team_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Return rows of `TASK`, a message and its team, the teams in turn."""
    chance = random.Random(seed)
    rows = []
    for n in range(count):
        team = tuple(WORDS)[n % len(WORDS)]
        rows.append({"message": chance.choice(SENTENCES).format(chance.choice(WORDS[team])), "team": team})
    return rows


def chat(signature: Any, inputs: dict[str, Any], outputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row as the messages that train a step: what the chat adapter asks, and the answer."""
    adapter, signature = ChatAdapter(), Signature(signature) if isinstance(signature, str) else signature
    answer = {"role": "assistant", "content": adapter.answer(signature, outputs)}
    return [*adapter.format(signature, [], inputs), answer]


def guesses(signature: Any, count: int, seed: int) -> list[list[dict[str, Any]]]:
    """Return messages that are labelled by chance; every output must be a Literal, every other input is one of the messages."""
    signature = Signature(signature) if isinstance(signature, str) else signature
    chance = random.Random(seed)

    def value(kind: Any, message: str) -> Any:
        return chance.choice(get_args(kind) or (message,))

    def values(fields: Any, message: str) -> dict[str, Any]:
        return {name: value(field.annotation, message) for name, field in fields.items()}

    rows = [row["message"] for row in team_rows(count, seed)]
    return [
        chat(signature, values(signature.input_fields, row), values(signature.output_fields, row))
        for row in rows
    ]


def tiny_model(folder: Path, signatures: Sequence[Any] = (TASK,), seed: int = 0, steps: int = 60) -> Path:
    """Make a model that answers these signatures with labels by chance, in `folder`; return the folder."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more wait for each other longer than they calculate
    try:
        chats = [row for n, task in enumerate(signatures) for row in guesses(task, 160, seed + n)]
        tokenizer = _tokenizer(chats)
        words = [word for group in WORDS.values() for word in group]
        model = _model(len(tokenizer), [tokenizer.encode(f" {word}")[0] for word in words], tokenizer, seed)
        # Most of the layout is learned without the long system message, which costs the most.
        _learn(model, tokenizer, [row[-2:] for row in chats], steps, 5e-3, seed)
        _learn(model, tokenizer, chats, steps // 3, 3e-3, seed)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    finally:
        torch.set_num_threads(threads)
    return folder


def _tokenizer(chats: Sequence[Sequence[dict[str, Any]]]) -> Any:
    """Return a tokenizer of bytes and of what is frequent in these chats; any text can be written with it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    split = Tokenizer(models.BPE())
    split.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    split.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    every = [sentence.format(word) for sentence in SENTENCES for group in WORDS.values() for word in group]
    split.train_from_iterator([*every, *(message["content"] for row in chats for message in row)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=split, eos_token="<|end|>", pad_token="<|pad|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _model(size: int, words: Sequence[int], tokenizer: Any, seed: int, width: int = 64) -> Any:
    """Return the model, untrained but for one head of attention that looks at these tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    head, slowest = width // 4, width // 8 - 1  # the pair of dimensions that positions hardly turn
    with torch.no_grad():
        embeddings = model.model.embed_tokens.weight
        embeddings.normal_(0, 0.5)
        embeddings[:, 0] = 2.0  # on every token, so that every token asks
        embeddings[:, 1] = 0.0
        embeddings[list(words), 1] = 3.0  # on these words, so that they answer
        attention = model.model.layers[0].self_attn
        for projection, source in ((attention.q_proj, 0), (attention.k_proj, 1)):
            projection.weight[:head] = 0.0
            projection.weight[slowest, source] = 1.55
        attention.v_proj.weight[:head].normal_(0, 0.15)
        attention.o_proj.weight[:, :head].normal_(0, 0.15)
    return model


def _learn(model: Any, tokenizer: Any, chats: Sequence[Any], steps: int, rate: float, seed: int) -> None:
    """Train on these chats for some steps of sixteen rows."""
    import torch

    chance = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.0)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 10) * (1 - 0.9 * step / steps)
        model(**_batch(tokenizer, chance.sample(list(chats), 16))).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def _batch(tokenizer: Any, chats: Sequence[Any]) -> dict[str, Any]:
    """Return token ids of these chats, padded, with the loss on the last message alone."""
    import torch

    ids, labels = [], []
    for row in chats:
        asked = tokenizer.apply_chat_template(row[:-1], add_generation_prompt=True, return_dict=False)
        whole = tokenizer.apply_chat_template(row, return_dict=False)
        ids.append(whole)
        labels.append([-100] * len(asked) + whole[len(asked) :])
    most = max(map(len, ids))

    def padded(rows: list[list[int]], value: int) -> Any:
        return torch.tensor([row + [value] * (most - len(row)) for row in rows])

    return {
        "input_ids": padded(ids, tokenizer.pad_token_id),
        "labels": padded(labels, -100),
        "attention_mask": padded([[1] * len(row) for row in ids], 0),
    }
