"""Weights in memory and how they write: the one file of the models that loads torch, transformers and peft.

A process keeps bases with their adapters, the least recently used one leaves first. It knows jobs and folders, no network
protocol and no event loop: `engine.lm.local.worker` calls it on its own thread, a trainer with the policy that it trains.
"""

from __future__ import annotations

import gc
import inspect
import logging
import os
import random
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peft
import torch
import transformers

from engine.basics.data import JsonObject
from engine.basics.text import cut
from engine.errors import (
    ContextWindowExceededError,
    InvalidRequestError,
    LMError,
    LMTimeoutError,
    ModelNotFoundError,
    ProviderFailureError,
)
from engine.lm.exchange import Message
from engine.lm.local.jobs import Completion, Job
from engine.lm.local.sources import Source, base_chain

MOST_ROWS = 64
"""Completions written at once: beyond this a batch gains little and the first answer waits for the last."""

_MEMORY_SHARE = 0.5
"""Share of the device's memory for weights; a base that would pass it drives out the least recently used ones."""

_CACHE_SHARE = 0.2
"""Share of the device's memory for the keys and values of the tokens of one batch."""

_MOST_ADAPTERS = 32
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Writer:
    """A model that is ready to write, with its tokenizer: what `write` needs, in training and in answering.

    `limit` is the longest prompt and answer together, in tokens; `ends` are the tokens that end an answer.
    """

    model: Any
    tokenizer: Any
    limit: int = field(init=False)
    ends: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.limit = context_length(self.model.config, self.tokenizer)
        self.ends = _ending_tokens(self.model, self.tokenizer)
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        self._takes = frozenset(inspect.signature(base.forward).parameters)

    def takes(self, name: str) -> bool:
        """Return whether the model's forward pass has a parameter of this name."""
        return name in self._takes

    @property
    def device(self) -> Any:
        """The device of the model's weights."""
        return next(self.model.parameters()).device


class _Base(Writer):
    """A loaded base model and the adapters on it; `current` is the adapter that is switched on."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        self.size = sum(p.numel() * p.element_size() for p in model.parameters())
        self.adapters: OrderedDict[tuple[str, str], str] = OrderedDict()
        self.writers: dict[str, Writer] = {}
        self.made = 0


class Weights:
    """The models in this process's memory."""

    def __init__(self) -> None:
        self._bases: OrderedDict[tuple[str, str], _Base] = OrderedDict()

    def answer(self, jobs: Sequence[Job]) -> None:
        """Write all jobs of one source, in batches that fit; each job's future gets its completion or its error."""
        source = jobs[0].source
        try:
            writer, context = self._ready(source)
            with context:
                write(writer, jobs)
        except LMError as error:
            _fail(jobs, error)

    def _ready(self, source: Source) -> tuple[Writer, Any]:
        """Return the source's writer with its adapter switched on, and the context to write in."""
        base = self._base(source)
        if source.adapter is None:
            return base, base.model.disable_adapter() if base.adapters else nullcontext()
        name = self._adapter(base, source)
        base.model.set_adapter(name)
        return base.writers[name], nullcontext()

    def _base(self, source: Source) -> _Base:
        key = (source.base, "" if source.adapter else source.stamp)
        weights = self._bases.get(key)
        if weights is None:
            self._make_room(source.base)
            model, tokenizer = load_base(source.base)
            weights = self._bases[key] = _Base(model.to(_device()).eval(), tokenizer)
            _log.info("Loaded %s for %s.", source.base, source.name)
        self._bases.move_to_end(key)
        return weights

    def _make_room(self, base: str) -> None:
        coming = sum(f.stat().st_size for f in Path(base).glob("*.safetensors")) if Path(base).is_dir() else 0
        room = _memory() * _MEMORY_SHARE
        while self._bases and (
            sum(b.size for b in self._bases.values()) + coming > room or len(self._bases) >= 4
        ):
            self._bases.popitem(last=False)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _adapter(self, base: _Base, source: Source) -> str:
        """Return the name under which the source's adapter is on its base, loaded where it is not."""
        key = (str(source.adapter), source.stamp)
        if key not in base.adapters:
            base.made += 1
            name = f"a{base.made}"
            try:
                if isinstance(base.model, peft.PeftModel):
                    base.model.load_adapter(source.adapter, adapter_name=name)
                else:
                    base.model = peft.PeftModel.from_pretrained(base.model, source.adapter, adapter_name=name)
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                raise ModelNotFoundError(
                    f"The adapter of {source.name!r} does not fit its base model {source.base!r} ({_short(error)}): "
                    "train it again, or put back the base model that it was trained on.",
                    model=source.name,
                ) from error
            base.model.eval()
            base.adapters[key] = name
            settings = (source.adapter or Path()) / "tokenizer_config.json"
            tokenizer = load_tokenizer(str(source.adapter)) if settings.is_file() else base.tokenizer
            base.writers[name] = Writer(base.model, tokenizer)
        base.adapters.move_to_end(key)
        if len(base.adapters) > _MOST_ADAPTERS:
            _, oldest = base.adapters.popitem(last=False)
            base.model.delete_adapter(oldest)
            base.writers.pop(oldest)
        return base.adapters[key]


def load_base(base: str) -> tuple[Any, Any]:
    """Return a base model and its tokenizer, by folder or hub's name; an adapter's folder comes merged into its base.

    Raises ModelNotFoundError if there is none. Only safetensors are read, and no code that comes with a model is run.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # it warns of threads that started before a fork
    transformers.utils.logging.disable_progress_bar()
    if below := base_chain(base)[1:]:
        model, tokenizer = load_base(below[0])
        return peft.PeftModel.from_pretrained(model, base).merge_and_unload(), tokenizer
    # On a CPU whole floats are quicker, and one answer differs least between batches.
    kind: Any = "auto" if torch.cuda.is_available() else torch.float32
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=kind, use_safetensors=True)
    except (OSError, ValueError, ImportError) as error:
        raise _not_loaded(base, error) from error
    return model, load_tokenizer(base)


def load_tokenizer(base: str) -> Any:
    """Return a model's tokenizer, padding on the left. Raises ModelNotFoundError if there is none."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(base, padding_side="left")
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise _not_loaded(base, error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def _not_loaded(base: str, error: Exception) -> ModelNotFoundError:
    what = (
        "the folder has no model that transformers can read"
        if Path(base).is_dir()
        else (
            "it is no folder here, and the Hugging Face hub did not give it: check the name and the connection, and for a "
            "model that needs agreement, log in with 'hf auth login'"
        )
    )
    return ModelNotFoundError(f"The model {base!r} cannot be loaded: {what} ({_short(error)}).", model=base)


def _short(error: Exception) -> str:
    return cut(" ".join(str(error).split()) or type(error).__name__, 160)


def context_length(config: Any, tokenizer: Any) -> int:
    """Return the longest prompt and answer together that a model takes, in tokens."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limits = [getattr(text, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None)]
    known = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < 10**9]
    return min(known, default=2**20)


def _ending_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: the model's and the tokenizer's, and the one its chat template puts behind a turn."""
    config_ids = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = {tokenizer.eos_token_id, *(config_ids if isinstance(config_ids, list) else [config_ids])}
    if tokenizer.chat_template:
        mark = "\u241f"
        turn = [{"role": "user", "content": "-"}, {"role": "assistant", "content": mark}]
        try:
            after = tokenizer.apply_chat_template(turn, tokenize=False).partition(mark)[2]
        except Exception:  # noqa: BLE001 - a template is a small program and raises what it likes
            after = ""
        special = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
        first = [(at, number) for token, number in special.items() if (at := after.find(token)) == 0]
        ids |= {number for _, number in first}
    return frozenset(one for one in ids if one is not None)


def prompt_ids(writer: Writer, job: Job) -> list[int]:
    """Return a job's prompt as tokens, by the model's chat template.

    Raises InvalidRequestError where the model has none or refuses the messages, ContextWindowExceededError where it is too long.
    """
    if job.plain:
        text = "\n".join(str(message.get("content", "")) for message in job.messages)
        ids = list(writer.tokenizer(text)["input_ids"])
    else:
        ids = chat_ids(writer.tokenizer, job.messages, job.source.name)
    if len(ids) >= writer.limit:
        raise ContextWindowExceededError(
            f"The prompt has {len(ids):,} tokens and the model {job.source.name!r} takes {writer.limit:,}: use fewer or shorter "
            "demonstrations, or a model with a longer context.",
            model=job.source.name,
        )
    return ids


def chat_ids(tokenizer: Any, messages: Sequence[Message], name: str) -> list[int]:
    """Return messages as tokens up to where the model's answer begins. Raises InvalidRequestError where that cannot be."""
    if not tokenizer.chat_template:
        raise InvalidRequestError(
            f"The model {name!r} has no chat template: choose its instruction-tuned version, or tune it first.",
            model=name,
        )
    turns = [{"role": str(m.get("role")), "content": _plain_text(m, name)} for m in messages]
    more = (
        {"continue_final_message": True}
        if turns and turns[-1]["role"] == "assistant"
        else {"add_generation_prompt": True}
    )
    problem = ""
    for attempt in (turns, _without_system(turns)):
        try:
            ids = tokenizer.apply_chat_template(attempt, tokenize=True, return_dict=True, **more)
            return list(ids["input_ids"])
        except Exception as error:  # noqa: BLE001 - a template is a small program and raises what it likes
            problem = _short(error)
    raise InvalidRequestError(
        f"The chat template of the model {name!r} refuses these messages ({problem}).", model=name
    )


def _without_system(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return turns with the system message at the head of the first question, for templates that know no system."""
    if len(turns) < 2 or turns[0]["role"] not in ("system", "developer"):
        return turns
    first = {**turns[1], "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
    return [first, *turns[2:]]


def _plain_text(message: Message, name: str) -> str:
    content = message.get("content")
    if isinstance(content, list):
        if any(not isinstance(part, dict) or "text" not in part for part in content):
            raise InvalidRequestError(
                f"The model {name!r} takes text only: no images, sounds or files.", model=name
            )
        return "\n".join(str(part["text"]) for part in content)
    return str(content or "")


@dataclass(eq=False, slots=True)
class _Row:
    """One completion while it is written."""

    job: Job
    prompt: list[int]
    most: int
    dice: random.Random
    written: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    text: str = ""
    read: tuple[int, int] = (0, 0)
    given: int = 0
    finish: str = ""

    @property
    def gone(self) -> bool:
        return bool(self.finish) or self.job.future.done()


def write(writer: Writer, jobs: Sequence[Job]) -> None:
    """Write jobs with a model, in batches that fit its memory; each job's future gets its completion or its error.

    Rows are padded on the left and draw from their own dice, so that an answer does not depend on the rows next to it but
    for the rounding of floats: at temperature 0 it differs only where two tokens are as good as equally likely.
    """
    rows = []
    for job in jobs:
        if job.future.done():
            continue
        try:
            ids = prompt_ids(writer, job)
        except LMError as error:
            _fail([job], error)
            continue
        rows.append(_Row(job, ids, min(job.max_tokens, writer.limit - len(ids)), job.dice()))
    # Rows of a like length share a batch: padding is work.
    rows.sort(key=lambda row: len(row.prompt) + row.most)
    room = _cache_tokens(writer)
    while rows:
        batch = [rows.pop()]
        while (
            rows
            and len(batch) < MOST_ROWS
            and (len(batch) + 1) * (len(batch[0].prompt) + batch[0].most) <= room
        ):
            batch.append(rows.pop())
        with torch.no_grad():
            _write_or_split(writer, batch)


def _write_or_split(writer: Writer, batch: list[_Row]) -> None:
    """Write a batch; where the memory does not hold it, write its halves."""
    try:
        _write_batch(writer, batch)
        return
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            _fail(
                [row.job for row in batch],
                ProviderFailureError(
                    f"The model {batch[0].job.source.name!r} failed while it wrote ({_short(error)})."
                ),
            )
            return
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    batch = [row for row in batch if not row.gone]
    for row in batch:
        row.written, row.logprobs, row.dice, row.text, row.read = [], [], row.job.dice(), "", (0, 0)
    if len(batch) > 1:
        _write_or_split(writer, batch[: len(batch) // 2])
        _write_or_split(writer, batch[len(batch) // 2 :])
    elif batch:
        name = batch[0].job.source.name
        too_big = InvalidRequestError(
            f"The memory does not hold one answer of the model {name!r}: shorten the prompt.", model=name
        )
        _fail([batch[0].job], too_big)


def _write_batch(writer: Writer, rows: list[_Row]) -> None:
    device, pad = writer.device, writer.tokenizer.pad_token_id or 0
    width = max(len(row.prompt) for row in rows)
    feed = torch.tensor([[pad] * (width - len(r.prompt)) + r.prompt for r in rows], device=device)
    mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in rows], device=device)
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    last_only = {"logits_to_keep": 1} if writer.takes("logits_to_keep") else {}
    started, past = time.monotonic(), None
    while True:
        more: JsonObject = {"position_ids": places} if writer.takes("position_ids") else {}
        out = writer.model(
            input_ids=feed, attention_mask=mask, past_key_values=past, use_cache=True, **more, **last_only
        )
        tokens, chances = _next_tokens(out.logits[:, -1, :].float(), rows)
        for row, token, chance in zip(rows, tokens, chances, strict=True):
            if not row.gone:
                _take(writer, row, token, chance, started)
        going = [place for place, row in enumerate(rows) if not row.gone]
        if not going:
            return
        past, feed = out.past_key_values, torch.tensor([[token] for token in tokens], device=device)
        places = places[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        if len(going) <= 0.75 * len(rows) and hasattr(past, "batch_select_indices"):
            rows_left = torch.tensor(going, device=device)
            past.batch_select_indices(rows_left)
            feed, places, mask = feed[rows_left], places[rows_left], mask[rows_left]
            rows = [rows[place] for place in going]


def _next_tokens(logits: Any, rows: Sequence[_Row]) -> tuple[list[int], list[float]]:
    """Return the next token of each row and its log probability: the likeliest at temperature 0, else one drawn by its dice."""
    best = logits.argmax(-1)
    if any(row.job.temperature > 0 for row in rows):
        heat = torch.tensor([row.job.temperature or 1.0 for row in rows], device=logits.device)
        top = torch.tensor([row.job.top_p for row in rows], device=logits.device)
        # One number of each row's dice picks along the sorted probabilities: the same on every device.
        shares, order = (logits / heat[:, None]).softmax(-1).sort(dim=-1, descending=True)
        sums = shares.cumsum(-1)
        allowed = torch.where(sums - shares < top[:, None], shares, torch.zeros_like(shares))
        sums = allowed.cumsum(-1)
        dice = torch.tensor([row.dice.random() for row in rows], device=logits.device)
        place = (sums < dice[:, None] * sums[:, -1:]).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
        drawn = order.gather(-1, place).squeeze(-1)
        cold = torch.tensor([row.job.temperature == 0 for row in rows], device=logits.device)
        best = torch.where(cold, best, drawn)
    if not any(row.job.logprobs for row in rows):
        return best.tolist(), [0.0] * len(rows)
    chances = logits.log_softmax(-1).gather(-1, best[:, None]).squeeze(-1)
    return best.tolist(), chances.tolist()


def _take(writer: Writer, row: _Row, token: int, chance: float, started: float) -> None:
    """Put a token to its row; finish the row where it ends."""
    job = row.job
    row.written.append(token)
    row.logprobs.append(chance)
    if time.monotonic() - started > job.seconds:
        row.finish = "time"
        _fail(
            [job],
            LMTimeoutError(
                f"The model {job.source.name!r} wrote for {job.seconds:g} s without coming to an end: raise the timeout, or lower "
                "max_tokens.",
                model=job.source.name,
            ),
        )
        return
    ended = token in writer.ends
    if ended or len(row.written) >= row.most:
        row.finish = "stop" if ended else "length"
    if job.stop or job.feed:
        _read(writer, row)
    if row.finish:
        _finish(writer, row)


def _read(writer: Writer, row: _Row) -> None:
    """Read the new tokens of a row as text, look for its stop texts, and feed what is certain."""
    first, known = row.read
    before = writer.tokenizer.decode(row.written[first:known], skip_special_tokens=True)
    after = writer.tokenizer.decode(row.written[first:], skip_special_tokens=True)
    if len(after) > len(before) and not after.endswith(
        "\ufffd"
    ):  # a letter of several tokens is not whole yet
        row.text += after[len(before) :]
        row.read = (known, len(row.written))
    stops = [at for stop in row.job.stop if (at := row.text.find(stop)) >= 0]
    if stops:
        row.text, row.finish = row.text[: min(stops)], "stop"
    if row.job.feed:
        back = 0 if row.finish else max((len(stop) - 1 for stop in row.job.stop), default=0)
        piece = row.text[row.given : len(row.text) - back]
        if piece:
            row.given += len(piece)
            row.job.feed(piece)


def _finish(writer: Writer, row: _Row) -> None:
    text = writer.tokenizer.decode(row.written, skip_special_tokens=True)
    places = [at for stop in row.job.stop if (at := text.find(stop)) >= 0]
    text = text[: min(places)] if places else text
    logprobs = None
    if row.job.logprobs:
        names = writer.tokenizer.convert_ids_to_tokens(row.written)
        content = [{"token": name, "logprob": value} for name, value in zip(names, row.logprobs, strict=True)]
        logprobs = {"content": content}
    done = Completion(
        text, row.finish, len(row.prompt), len(row.written), logprobs, (tuple(row.prompt), tuple(row.written))
    )
    if not row.job.future.done():
        row.job.future.set_result(done)


def _fail(jobs: Sequence[Job], error: LMError) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)


def _device() -> Any:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _memory() -> int:
    """Return the bytes of the device's memory."""
    if torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not known on this system
        return 8 * 2**30


def _cache_tokens(writer: Writer) -> int:
    """Return the tokens of one batch whose keys and values fit the memory set aside for them."""
    config = writer.model.config
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    heads = getattr(config, "num_attention_heads", 32)
    wide = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 4096) // heads
    each = (
        2
        * getattr(config, "num_hidden_layers", 32)
        * (getattr(config, "num_key_value_heads", None) or heads)
        * wide
    )
    bytes_of_one = each * next(writer.model.parameters()).element_size()
    return max(4096, min(2**20, int(_memory() * _CACHE_SHARE / bytes_of_one)))


def merge(source: Source, folder: Path) -> None:
    """Write a source's base with its adapter merged into it, and its tokenizer, as a folder that any server loads."""
    where = str(source.adapter) if source.adapter else source.base
    model, tokenizer = load_base(where)
    has_tokenizer = (Path(where) / "tokenizer_config.json").is_file()
    model.save_pretrained(folder, safe_serialization=True)
    (load_tokenizer(where) if has_tokenizer else tokenizer).save_pretrained(folder)
