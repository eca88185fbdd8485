"""The files, addresses and keys of this machine that an imported run would use; the user agrees to them once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit

from engine.basics.addresses import is_this_machine
from engine.basics.home import data_home
from engine.basics.text import cut
from engine.errors import ConfigurationError
from engine.lm.choice import ModelChoice, find_provider, find_route
from engine.lm.local.sources import hosted_choice
from engine.pipeline.spec import CorpusSpec, PipelineSpec
from engine.runs.spec import ProjectDraft, RunSpec
from engine.search.backend import BackendChoice
from engine.store.store import Store
from engine.store.users import user_file

if TYPE_CHECKING:
    from engine.dataset import Dataset

AGREED, ADDRESSES = "agreed", "addresses_from_elsewhere"
"""Settings of the store: what was agreed to, as hashes, and addresses that came in a project's file and were not."""

Draft = TypeVar("Draft", ProjectDraft, RunSpec)


def models_of(spec: RunSpec) -> list[ModelChoice]:
    """Return every model that a run asks, each once."""
    named = (spec.model, spec.prompt_model, spec.teacher_model, *spec.models, *spec.pipeline.models)
    return list(dict.fromkeys(model for model in named if model is not None))


def wishes(spec: RunSpec, folder: Path, table: Dataset | None) -> list[str]:
    """Return what a spec from `folder` would send elsewhere or read outside of it, as parts of a sentence.

    Files are named by their whole path, so that who agrees to one has not agreed to another of the same name.

    `table` is the spec's table, where that is a file.
    """
    return list(dict.fromkeys([*_model_wishes(models_of(spec)), *_spread(spec), *_read(spec, folder, table)]))


def _model_wishes(models: Iterable[ModelChoice]) -> Iterator[str]:
    for model in models:
        if model.name.startswith("local/") and not model.base_url:
            yield f"loads the model {model.name.removeprefix('local/')}"
        provider = find_provider(model.name)
        usual = None if provider is None or model.base_url else provider.key_env
        key = model.key_env if model.key_env and model.key_env != usual else None
        where = model.base_url or (provider.title if provider else model.name)
        with_key = f", with the key in {key}" if key else ""
        if key or (model.base_url and not _is_own_machine(model.base_url)):
            yield f"{_sends_rows(where)}{with_key}"


def _spread(spec: RunSpec) -> Iterator[str]:
    backend = spec.backend
    here = backend.address in ("auto", "local") or _is_own_machine(f"//{backend.address}")
    if backend.name == "ray" and not here:
        yield f"runs on the Ray cluster at {backend.address}, which gets its rows and can run code here"


def _sends_rows(where: str) -> str:
    return f"sends rows to {where}"


def _is_own_machine(address: str) -> bool:
    try:
        return is_this_machine(urlsplit(address).hostname or "")
    except ValueError:  # no address at all
        return False


def _read(spec: RunSpec, folder: Path, table: Dataset | None) -> Iterator[str]:
    from engine.pipeline.corpora import corpus_path
    from engine.pipeline.importers.attachments import attached_path

    if table is not None and not _is_inside(folder / spec.dataset, folder):
        yield f"reads the file {(folder / spec.dataset).resolve()}"
    for step in spec.pipeline.steps:
        corpus = step.options.corpus
        if corpus.file and not is_shipped(corpus) and not _is_inside(corpus_path(corpus.file), folder):
            yield f"reads the texts in {corpus_path(corpus.file).resolve()}"
    if table is None:
        return
    for field in (*spec.pipeline.inputs, *spec.pipeline.outputs):
        column = spec.mapping.get(field.name)
        if column not in table.columns or not field.parsed_type.names & {"Image", "PDF", "File", "Audio"}:
            continue
        for cell in dict.fromkeys(table.values(column)):
            path = attached_path(cell)
            if path is not None and not _is_inside(path, folder):
                yield f"reads the file {path.resolve()}"


def _is_inside(path: Path, folder: Path) -> bool:
    resolved = path.resolve()
    return any(resolved.is_relative_to(one.resolve()) for one in (folder, data_home()))


def not_agreed(store: Store, asked: Iterable[str]) -> list[str]:
    """Return those of the requests that no user has agreed to yet."""
    agreed = set(store.settings.get(AGREED, []))
    return [wish for wish in asked if _hash(wish) not in agreed]


def agree(store: Store, asked: Iterable[str]) -> None:
    """Remember that the user has agreed to these requests."""
    with store.transaction():
        agreed = store.settings.get(AGREED, [])
        store.settings.set(AGREED, list(dict.fromkeys([*agreed, *map(_hash, asked)])))


def note_addresses(store: Store, brought: Mapping[str, object] | Sequence[Mapping[str, object]]) -> None:
    """Remember the addresses in drafts and specs from elsewhere that nothing may be sent to until the user has entered them.

    Those that a project here uses or a user has entered or agreed to are left out, and addresses of this machine
    where it has one user. On a server with users any of them may add to this list, which warns all, with a look at
    all projects: the file is opened again.
    """
    with Store(store.connection.path) as whole, whole.transaction():
        here = [whole.settings.get("models", []), *(project.draft for project in whole.projects.all())]
        known = {address for one in here for address in addresses_in(one)}
        noted = {
            address
            for address in addresses_in(brought)
            if address not in known
            and (user_file() is not None or not _is_own_machine(address))
            and not_agreed(whole, [_sends_rows(address)])
        }
        whole.settings.set(ADDRESSES, sorted({*whole.settings.get(ADDRESSES, []), *noted}))


def address_refusal(address: str | None, noted: Collection[str]) -> str:
    """Return why a model's address may not be asked, where it is one of those noted; else ""."""
    if not address or address not in noted:
        return ""
    return (
        f"The address {address} came with a project's file, and nothing has been sent there. To use it, add a model with this "
        "address on the Settings page; otherwise choose another model."
    )


def addresses_in(value: object) -> Iterator[str]:
    """Iterate over the models' addresses in a draft or a run's spec, wherever they are."""
    return (endpoint.address for endpoint in endpoints_in(value) if endpoint.address)


class EndpointRef(NamedTuple):
    """The end of a request that a draft, a spec or a child's request names: model ("" where not named), address, key variable."""

    model: str
    address: str
    variable: str

    @property
    def place(self) -> tuple[str, str]:
        """The address, or the provider, and the variable whose key goes there."""
        return self.address or self.model.partition("/")[0].lower(), self.variable


def endpoints_in(value: object) -> Iterator[EndpointRef]:
    """Iterate over the endpoints in a draft, a spec or a request, wherever they are: models, trainers, judges."""
    for part in _parts(value):
        if isinstance(part, Mapping) and ("base_url" in part or "key_env" in part):
            yield EndpointRef(*(str(part.get(name) or "") for name in ("name", "base_url", "key_env")))


OF_STEP = ("model", "extraction_model")
OF_OPTIONS = ("judge", "model", "base_model", "embedder")
"""Keys under which a step, and the options of a metric or an optimizer, name a model without an address."""


def _named_in(value: object, chosen: Collection[str]) -> Iterator[EndpointRef]:
    """Iterate over the models that steps, prompts and options give by name; prompts name those that are `chosen` in full."""
    for part in _parts(value):
        if not isinstance(part, Mapping):
            continue
        names = [part.get(key) for key in OF_STEP if "strategy" in part]
        names += [part.get("weights")] if "demos" in part and part.get("weights") not in chosen else []
        for options in _parts(part.get("options")):
            if isinstance(options, Mapping):
                names += [options.get(key) for key in OF_OPTIONS if not _is_of_hub(options.get(key), key)]
        for given in names:
            name = given.get("name") if isinstance(given, Mapping) and "base_url" not in given else given
            if isinstance(name, str) and "/" in name:
                yield EndpointRef(name, "", "")


def _all_in(value: object) -> list[EndpointRef]:
    """Return the endpoints in a value, and the models that it gives by name alone."""
    in_full = list(endpoints_in(value))
    return [*in_full, *_named_in(value, {endpoint.model for endpoint in in_full})]


def foreign_model(spec: object, prompts: object) -> str:
    """Return a model that a step of these prompts names, which is none of the spec's and not tuned here; else ""."""
    others = _named_in(prompts, {endpoint.model for endpoint in endpoints_in(spec)})
    return next((e.model for e in others if not e.model.startswith("tuned/")), "")


def _is_of_hub(name: object, key: str) -> bool:
    """Return whether a model to train is one of the hub's, by its name there, and no folder."""
    return (
        key == "base_model"
        and isinstance(name, str)
        and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None
        and find_provider(name) is None
        and not Path(name).exists()
    )


def _parts(value: object) -> Iterator[object]:
    """Iterate over a value and all that is in it, the keys of mappings aside."""
    yield value
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _parts(inner)


def endpoint_refusal(value: object, added: object) -> str:
    """Return why a user who is no administrator may not have this sent, or "".

    Anyone may ask the known providers with their usual keys. Other addresses, variables and providers are those of
    the models that an administrator has `added` on the Settings page: a key goes to its own address and nowhere else.
    """
    known = {endpoint.place for endpoint in _all_in(added)}
    for endpoint in _all_in(value):
        if not endpoint.address and (hosted := hosted_choice(endpoint.model)) is not None:
            endpoint = EndpointRef(hosted.name, hosted.base_url or "", hosted.key_env or "")
        provider = find_provider(endpoint.model)
        usual = not endpoint.model or (
            provider is not None
            and (provider.prefix in ("offline", "tuned") or not (provider.local or provider.own_address))
        )
        if endpoint.place in known or (usual and not endpoint.address and not endpoint.variable):
            continue
        key = f" with the key in {cut(endpoint.variable, 60)}" if endpoint.variable else ""
        return (
            f"This would ask {cut(endpoint.address or endpoint.model or 'a model', 120)}{key}, which no administrator has "
            "added on the Settings page. Ask for it there."
        )
    return ""


def key_variables(value: object) -> tuple[set[str], tuple[str, ...]]:
    """Return the environment variables with the keys of all models in a spec or a request, and prefixes of more.

    A provider whose library looks for credentials by itself (a cloud's) is given the variables of its cloud alone.
    """
    asked = list(endpoints_in(value))
    names = {endpoint.variable for endpoint in asked}
    prefixes: set[str] = set()
    if any(isinstance(part, Mapping) and part.get("base_model") for part in _parts(value)):
        names |= HUB_VARIABLES
    models = {part for part in _parts(value) if isinstance(part, str) and len(part) < LONGEST_NAME}
    for name in models:
        try:
            provider = find_route(name).provider
        except ConfigurationError:
            provider = find_provider(name)
        if provider is None:
            continue
        if provider.protocol == "local":
            names |= HUB_VARIABLES
        elif provider.protocol == "litellm":
            prefixes |= _variable_prefixes(provider.prefix)
        names.add(provider.key_env or "")
    unknown = {e.model for e in asked if e.model and not e.address and find_provider(e.model) is None}
    prefixes |= {prefix for model in unknown for prefix in _variable_prefixes(model.partition("/")[0])}
    return names - {""}, tuple(prefixes)


def _variable_prefixes(provider: str) -> set[str]:
    """Return the beginnings of the variables in which a provider's library looks for credentials."""
    clouds = {
        beginning
        for name, beginnings in CLOUD_VARIABLES.items()
        if provider.startswith(name)
        for beginning in beginnings
    }
    return clouds | {f"{re.sub('[^A-Z0-9]', '_', provider.upper())}_"}


HUB_VARIABLES = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
"""Keys of the hub from which weights may have to be fetched."""

CLOUD_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "azure": ("AZURE_",),
    "bedrock": ("AWS_",),
    "sagemaker": ("AWS_",),
    "vertex_ai": ("GOOGLE_", "VERTEXAI_"),
    "watsonx": ("WATSONX_", "WX_"),
}
"""A provider's prefix -> how the variables begin that its cloud's library reads."""

LONGEST_NAME = 200
"""Characters of a model's name; longer texts are none."""


def harmless(draft: Draft) -> Draft:
    """Return a draft or a run's spec from elsewhere without its keys' names, and without files, classes and clusters of another machine."""
    here = draft.model_copy(update={"backend": BackendChoice()})
    return without_keys(
        _without_classes(with_corpora(here, lambda c: c if not c.file or is_shipped(c) else CorpusSpec()))
    )


def _without_classes(draft: Draft) -> Draft:
    """Leave out the classes that records were read from: an export would carry another person's code."""
    if draft.pipeline is None:
        return draft
    steps = tuple(s.model_copy(update={"source": ""}) for s in draft.pipeline.steps)
    return draft.model_copy(update={"pipeline": draft.pipeline.model_copy(update={"steps": steps})})


def without_keys(draft: Draft) -> Draft:
    """Return a draft or a run's spec whose models, trainers and judges name no variables with keys."""

    def bare(value: object) -> object:
        if isinstance(value, list):
            return [bare(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        changed = {name: bare(inner) for name, inner in value.items()}
        no_key = {"key_env": "" if value.get("base_url") else None}
        return {**changed, **no_key} if "key_env" in value or value.get("base_url") else changed

    return type(draft).model_validate(bare(draft.model_dump(mode="json")))


def with_corpora(draft: Draft, change: Callable[[CorpusSpec], CorpusSpec]) -> Draft:
    """Return a draft or a run's spec with the texts of its steps that search changed."""
    if draft.pipeline is None:
        return draft
    steps = tuple(
        s.model_copy(update={"options": s.options.model_copy(update={"corpus": change(s.options.corpus)})})
        for s in draft.pipeline.steps
    )
    return draft.model_copy(update={"pipeline": PipelineSpec(steps=steps)})


def is_shipped(corpus: CorpusSpec) -> bool:
    """Return whether a corpus is one of those installed with Tuneboard."""
    from engine.pipeline.corpora import SHIPPED

    return corpus.file.startswith(SHIPPED) and ".." not in corpus.file


def _hash(wish: str) -> str:
    return hashlib.sha256(wish.encode()).hexdigest()[:32]
