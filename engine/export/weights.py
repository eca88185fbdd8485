"""The files of an export, written as a zip or a folder, and tuned models among them: weights as files, hosted models by name.

The files are laid out as in the data folder, so that a Tuneboard whose data folder is `weights` finds them by name.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from engine.errors import ConfigurationError, ProgramFileError
from engine.export.program import ProgramFile
from engine.lm.choice import ModelChoice
from engine.lm.tuned import FOLDER, PREFIX, TunedModel, get_tuned, model_folder
from engine.pipeline.spec import PipelineSpec, StepSpec
from engine.records import Candidate

WEIGHTS = "weights"
LARGEST = 1_000_000_000
"""Bytes of weights that go into a zip; larger ones are written as a folder."""
Files = Mapping[str, bytes | Path]
"""Files of an export by their path in it: their content, or the file on this machine that is copied."""

_WANTED = (".safetensors", ".json", ".jinja", ".txt", ".model")
"""Ends of the names of files that go along: weights, and what reads and writes text for them."""
_STAMP = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can hold: the same files give the same bytes."""
_OWN = ("job.json", "trainer_state.json")
"""Files of a training, which a server of the model does not need."""


def tuned_of(program: ProgramFile) -> list[TunedModel]:
    """Return the records of the tuned models that answer a program's steps.

    Raises ProgramFileError for one that is not in this machine's data folder.
    """
    try:
        return [get_tuned(name) for name in program.candidate.tuned_models]
    except ConfigurationError as error:
        raise ProgramFileError(f"The program asks a tuned model that is not here. {error}") from error


def models_of(program: ProgramFile) -> list[ModelChoice]:
    """Return every model that a program may ask: those it names, and its tuned models at a provider."""
    return [*program.models, *(m.hosted for m in tuned_of(program) if m.hosted is not None)]


def weight_files(program: ProgramFile) -> dict[str, Path]:
    """Return the tuned models' records and weights by path, below `weights`; nothing for a program that asks none.

    Raises ProgramFileError for weights that are gone.
    """
    files: dict[str, Path] = {}
    for model in tuned_of(program):
        folder = model_folder(model.name)
        paths = [folder / "model.json", *([] if model.hosted else _files(folder))]
        if not model.hosted and not any(path.suffix == ".safetensors" for path in paths):
            raise ProgramFileError(f"The weights of {PREFIX}{model.name} are not in {folder} any more.")
        files |= {f"{WEIGHTS}/{FOLDER}/{model.name}/{path.name}": path for path in paths}
    return files


def weights_size(parts: Files) -> int:
    """Return the bytes of the files that are copied into an export."""
    return sum(part.stat().st_size for part in parts.values() if isinstance(part, Path))


def write_folder(parts: Files, folder: Path) -> Path:
    """Write an export as a folder, file by file. Raises ProgramFileError where it is not empty or cannot be written."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ProgramFileError(f"{folder} is there already. Name a new or an empty folder.")
        for name, part in parts.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(part, Path):
                shutil.copyfile(part, target)
            else:
                target.write_bytes(part)
    except OSError as error:
        raise ProgramFileError(
            f"{folder} cannot be written ({error.strerror or error}): free some space, or name another folder."
        ) from error
    return folder


def zipped(files: Files) -> bytes:
    """Return files by path as a zip. The same files give the same bytes; a zip inside is not compressed again."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, _STAMP)
            entry.external_attr = 0o644 << 16
            entry.compress_type = (
                zipfile.ZIP_STORED if path.endswith((".whl", ".safetensors")) else zipfile.ZIP_DEFLATED
            )
            made.writestr(entry, data.read_bytes() if isinstance(data, Path) else data)
    return out.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        wanted = path.name.endswith(_WANTED) and path.name not in (*_OWN, "model.json")
        if wanted and path.is_file() and not path.is_symlink():
            yield path


def lineage(program: ProgramFile) -> str:
    """Return facts on a program's tuned models as Markdown; "" for a program that asks none."""
    lines = []
    for model in tuned_of(program):
        where = (
            f"the model `{model.hosted.name}` at its provider"
            if model.hosted
            else f"`{WEIGHTS}/{FOLDER}/{model.name}`"
        )
        licence = model.licence or "not stated"
        lines.append(
            f"- `{PREFIX}{model.name}` is {where}: {model.base_model}, trained on {model.rows:,} rows ({model.method}). "
            f"Licence of the base model: {licence}."
        )
    return "\n".join(["## Tuned models", "", *lines]) if lines else ""


def with_provider_names(program: ProgramFile) -> ProgramFile:
    """Return a program that asks tuned models at a provider under their names there; those of this machine stay."""
    hosted: dict[str, ModelChoice] = {}
    for name in program.candidate.tuned_models:
        with suppress(ConfigurationError):  # not in this data folder: it keeps its name
            if (choice := get_tuned(name).hosted) is not None:
                hosted[name] = choice
    pipeline, candidate = with_step_models(program.pipeline, program.candidate, hosted)
    return program.model_copy(update={"pipeline": pipeline, "candidate": candidate})


def with_step_models(
    pipeline: PipelineSpec, candidate: Candidate, choices: Mapping[str, ModelChoice]
) -> tuple[PipelineSpec, Candidate]:
    """Return a pipeline whose steps ask these models as their own, where a candidate's steps name them, and the candidate."""
    own: dict[str, ModelChoice] = {}
    for path, state in candidate.steps.items():
        if (choice := choices.get(state.weights or "")) is not None:
            own[path.partition(".")[0]] = choice
            candidate = candidate.with_step(path, weights=None)

    def step(one: StepSpec) -> StepSpec:
        return one.model_copy(update={"model": own[one.name]}) if one.name in own else one

    changed = pipeline.model_copy(update={"steps": tuple(map(step, pipeline.steps))}) if own else pipeline
    return changed, candidate


def portable(program: ProgramFile) -> ProgramFile:
    """Return a program that can answer without this machine's data folder.

    Raises ProgramFileError for a step that asks weights of this machine.
    """
    named = with_provider_names(program)
    for path, state in named.candidate.steps.items():
        if state.weights:
            raise ProgramFileError(
                f"The step {path!r} asks {state.weights}, whose weights are on this machine. Take the program with its model, "
                "or the container."
            )
    return named
