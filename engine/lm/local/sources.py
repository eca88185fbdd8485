"""Names of models of this machine as folders of weights. Nothing here loads weights or a heavy library."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import orjson

from engine.errors import ConfigurationError, EngineError, ModelNotFoundError, UnknownNameError
from engine.lm.choice import ModelChoice
from engine.lm.tuned import PREFIX, TunedModel, get_tuned, model_folder
from engine.parts import Needs

LOCAL = "local/"
CHECKPOINTS = "checkpoints"
_ADAPTER = "adapter_config.json"
NEEDS = Needs(
    "Models of this machine need PyTorch, transformers and peft", "weights", ("torch", "transformers", "peft")
)
_SMALL = 64 * 2**20
"""Bytes of a file up to which its content is hashed; of a longer one, its size and time count."""


@dataclass(frozen=True, slots=True)
class Source:
    """Weights to answer with: a base model (a folder or a hub's name), and an adapter's folder on it (None: none).

    `stamp` changes with the weights, so that the same name with other weights is another source.
    """

    name: str
    base: str
    adapter: Path | None = None
    stamp: str = ""


def is_local(name: str) -> bool:
    """Return whether a model's name is one of this machine's weights.

    >>> is_local("tuned/a1b2"), is_local("local/Qwen/Qwen3-0.6B"), is_local("ollama/qwen3")
    (True, True, False)
    """
    return name.startswith((PREFIX, LOCAL))


def answering(choice: ModelChoice) -> ModelChoice:
    """Return the choice that answers: a hosted tuned model's own with these parameters, and any other as it is.

    Raises UnknownNameError for a tuned model that is not here.

    >>> answering(ModelChoice(name="openai/gpt-5-mini")).name
    'openai/gpt-5-mini'
    """
    if not choice.name.startswith(PREFIX) or choice.base_url:
        return choice
    hosted = get_tuned(choice.name).hosted
    if hosted is None:
        return choice
    names = ("temperature", "max_tokens", "timeout")
    return hosted.model_copy(update={n: getattr(choice, n) for n in names if getattr(choice, n) is not None})


def hosted_choice(name: str) -> ModelChoice | None:
    """Return the provider's model behind a tuned model's name; None for a local one and for one that is not here."""
    try:
        return get_tuned(name).hosted if name.startswith(PREFIX) else None
    except ConfigurationError:
        return None


def missing_extra() -> str:
    """Return what to do where the libraries for weights are not installed; "" where they are."""
    return NEEDS.missing()


def check_local(choice: ModelChoice) -> None:
    """Raise ConfigurationError where a model of this machine cannot answer: no libraries, no such folder. Others pass."""
    if choice.base_url or not is_local(choice.name) or answering(choice) is not choice:
        return
    if missing := missing_extra():
        raise ConfigurationError(missing)
    try:
        find_source(choice.name)
    except ModelNotFoundError as error:
        raise ConfigurationError(str(error)) from None


def find_source(name: str) -> Source:
    """Return the weights behind a name. Raises ModelNotFoundError for a folder, a record or a checkpoint that is not there."""
    if name.startswith(PREFIX):
        folder, record = _tuned_folder(name)
        return _folder_source(name, folder, record.base_model)
    where = name.removeprefix(LOCAL)
    folder = Path(where).expanduser()
    if folder.is_dir():
        return _folder_source(name, folder.resolve(), "")
    if where.startswith(("/", ".", "~")) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", where, re.ASCII):
        raise ModelNotFoundError(
            f"{name!r}: there is no folder {where}. Write local/ and a folder, or a hub's name."
        )
    return Source(name, where)


def _tuned_folder(name: str) -> tuple[Path, TunedModel]:
    """Return the folder of a tuned model's weights, or of its checkpoint's, and its record. Raises ModelNotFoundError."""
    try:
        record = get_tuned(name)
    except UnknownNameError as error:
        raise ModelNotFoundError(str(error), model=name) from None
    folder, step = model_folder(name), name.partition("@")[2]
    if step:
        if not re.fullmatch(r"[\w-]{1,40}", step, re.ASCII):
            raise ModelNotFoundError(
                f"{name!r} names no checkpoint: write it as {PREFIX}NAME@STEP.", model=name
            )
        folder = folder / CHECKPOINTS / step
    if not folder.is_dir() or not _weight_files(folder):
        what = f"no checkpoint {step}" if step else "no weights yet"
        raise ModelNotFoundError(
            f"The tuned model {PREFIX}{record.name} has {what} in {folder}: let its training finish, or train it again.",
            model=name,
        )
    return folder, record


def _folder_source(name: str, folder: Path, base: str) -> Source:
    if not fingerprint(folder):
        raise ModelNotFoundError(
            f"{name!r}: the folder {folder} holds no weights as safetensors, the only form that is read.",
            model=name,
        )
    if not (folder / _ADAPTER).is_file():
        return Source(name, str(folder), None, fingerprint(folder))
    base = base_of(base or _named_base(folder))
    base_chain(base, folder)
    return Source(name, base, folder, fingerprint(folder))


def _named_base(folder: Path) -> str:
    """Return the base model that an adapter names. Raises ModelNotFoundError where it names none."""
    try:
        return str(orjson.loads((folder / _ADAPTER).read_bytes())["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelNotFoundError(f"{folder / _ADAPTER} does not name its base model.") from None


def base_chain(base: str, *above: Path) -> list[str]:
    """Return what a base model is made of: itself and, while that is an adapter's folder, the base of it.

    `above` are adapters on it. Raises ModelNotFoundError for an adapter that is its own base, directly or through others.
    """
    chain = [base]
    known = {path.resolve() for path in above}
    while (folder := Path(chain[-1])).is_dir():
        if folder.resolve() in known:
            raise ModelNotFoundError(
                f"The adapter in {folder} is its own base model, directly or through others: correct base_model_name_or_path in "
                f"its {_ADAPTER}."
            )
        known.add(folder.resolve())
        if not (folder / _ADAPTER).is_file():
            break
        chain.append(base_of(_named_base(folder)))
    return chain


def is_trained(name: str) -> bool:
    """Return whether the training of a tuned model has come to its end and its weights are there, or a provider has them."""
    try:
        record = get_tuned(name)
        return record.finished and (record.hosted is not None or bool(find_source(PREFIX + record.name)))
    except EngineError:
        return False


def base_of(model: str) -> str:
    """Return a base model as `weights.load_base` takes it: a folder (a tuned model's own, with its adapter) or a hub's name.

    Raises ModelNotFoundError for a tuned model that is not here.
    """
    if not model.startswith(PREFIX):
        return str(Path(model.removeprefix(LOCAL)).expanduser())
    return str(_tuned_folder(model)[0])


def fingerprint(folder: Path) -> str:
    """Return a short text that changes when the weights of a folder change, or ""."""
    parts = [_file_mark(path) for path in _weight_files(folder)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16] if parts else ""


def _weight_files(folder: Path) -> list[Path]:
    def found() -> Iterator[Path]:
        for pattern in (
            "*.safetensors",
            "config.json",
            _ADAPTER,
            "tokenizer.json",
            "chat_template.jinja",
        ):
            yield from folder.glob(pattern)

    return sorted(found()) if any(folder.glob("*.safetensors")) else []


def _file_mark(path: Path) -> str:
    state = path.stat()
    return f"{path.name} {_mark(path, state.st_size, state.st_mtime_ns)}"


@lru_cache(maxsize=512)
def _mark(path: Path, size: int, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if size <= _SMALL else f"{size} {changed}"


def model_title(record: TunedModel) -> str:
    """Return a tuned model's lineage in a line.

    >>> model_title(TunedModel(name="a1b2", trainer="local", base_model="Qwen/Qwen3-0.6B", rows=120))
    'tuned/a1b2 · Qwen/Qwen3-0.6B, lora on 120 rows by local, not finished'
    """
    lineage = f"{record.base_model}, {record.method} on {record.rows:,} {'row' if record.rows == 1 else 'rows'} by {record.trainer}"
    run = f", run {record.run}" if record.run else ""
    licence = f", licence {record.licence}" if record.licence else ""
    return f"{PREFIX}{record.name} · {lineage}{run}{licence}{'' if record.finished else ', not finished'}"
