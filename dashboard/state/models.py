"""Models in plain words. No Streamlit and no litellm in here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from dashboard.state import launching
from dashboard.state.reading import setting
from dashboard.state.session import API_KEYS
from dashboard.state.writing import read_only
from dashboard.text import model_name
from engine.errors import ConfigurationError, RunError
from engine.lm.choice import ModelChoice, find_provider, find_route, is_offline, key_variable
from engine.lm.keys import find_key
from engine.lm.local.sources import answering, check_local
from engine.pipeline.spec import PipelineSpec
from engine.runs.child.request import ConnectionRequest
from engine.runs.spec import RunSpec
from engine.runs.trust import ADDRESSES, address_refusal


def title_of(choice: ModelChoice) -> str:
    """Return a model's name as users read it.

    >>> title_of(ModelChoice()), title_of(ModelChoice(name="llama3", base_url="http://127.0.0.1:11434/v1"))
    ('Offline stand-in (free, no key)', 'llama3 at 127.0.0.1:11434')
    """
    if is_offline(choice):
        return "Offline stand-in (free, no key)"
    where = urlsplit(choice.base_url).netloc.rpartition("@")[2] if choice.base_url else ""
    heat = "" if choice.temperature is None else f", temperature {choice.temperature:g}"
    longest = "" if choice.max_tokens is None else f", at most {choice.max_tokens:,} tokens"
    return f"{model_name(choice.name)}{f' at {where}' if where else ''}{heat}{longest}"


def short_title(choice: ModelChoice) -> str:
    """Return a model's name without its provider and options, for a list.

    >>> short_title(ModelChoice()), short_title(ModelChoice(name="openai/gpt-5-mini", temperature=0.5))
    ('offline', 'gpt-5-mini')
    """
    return "offline" if is_offline(choice) else model_name(choice.name).rpartition("/")[2]


def asked_models(
    model: ModelChoice | None, pipeline: PipelineSpec | None, others: Sequence[ModelChoice] = ()
) -> list[ModelChoice]:
    """Return every model that answers rows, each once: the project's own first, then those of its steps, then others."""
    steps = pipeline.models if pipeline is not None else ()
    return list(dict.fromkeys([model or ModelChoice(), *steps, *others]))


def models_of_steps(pipeline: PipelineSpec | None) -> list[tuple[str, str]]:
    """Return (step, what it asks) of the steps with a separate model.

    >>> from engine.pipeline.spec import PipelineSpec, StepSpec
    >>> models_of_steps(PipelineSpec(steps=(StepSpec(name="sort", model="openai/gpt-5-mini"), StepSpec())))
    [('sort', 'asks openai/gpt-5-mini')]
    """
    choices = []
    for step in pipeline.steps if pipeline is not None else ():
        asks = [f"asks {title_of(step.model)}"] if step.model else []
        reads = [f"has its text read by {title_of(step.extraction_model)}"] if step.extraction_model else []
        if asks or reads:
            choices.append((step.name, " and ".join([*asks, *reads])))
    return choices


def not_in_settings(choice: ModelChoice, saved: Sequence[ModelChoice]) -> str:
    """Return what to say of a step's model that the Settings page does not have as it is; "" where it does.

    >>> not_in_settings(ModelChoice(name="openai/a"), [ModelChoice(name="openai/a")])
    ''
    """
    if choice in saved:
        return ""
    if any((m.name, m.base_url) == (choice.name, choice.base_url) for m in saved):
        return (
            "On the Settings page this model is set up differently now. The step asks it as it was set up before; "
            "choose it again to take the new settings."
        )
    return (
        "This model is not on the Settings page any more. The step still asks it, as it was set up; add it there again to "
        "test it, or choose another."
    )


def wrong_name(models: Sequence[ModelChoice]) -> str:
    """Return what is wrong with the name or address of one of these models, or "".

    >>> wrong_name([ModelChoice(name="openai/gpt-5-mini"), ModelChoice(name="gpt5")])
    "There is no model 'gpt5'. Write it as provider/model, for example openai/gpt-5-mini."
    """
    for choice in models:
        try:
            route = find_route(choice.name, choice.base_url)
        except ConfigurationError as error:
            return str(error)
        if route.provider is None and not choice.base_url and "/" not in choice.name:
            return f"There is no model {choice.name!r}. Write it as provider/model, for example openai/gpt-5-mini."
    return ""


def own_key_variable(address: str) -> str:
    """Return the name of the variable for the key of the user's own address.

    >>> own_key_variable("https://llm.example.org:8443/v1")
    'TUNEBOARD_LLM_EXAMPLE_ORG_KEY'
    """
    host = urlsplit(address).hostname or "own"
    return f"TUNEBOARD_{re.sub(r'[^A-Za-z0-9]+', '_', host).upper()}_KEY"


def price_words(choice: ModelChoice) -> str:
    """Return what a model costs, in words.

    >>> price_words(ModelChoice())
    'free'
    """
    from engine.lm.prices import price

    if is_offline(choice):
        return "free"
    model_price = price(choice.name)
    if model_price is None:
        return "price not known"
    if not model_price.input and not model_price.output:
        return "free"
    return f"${1e6 * model_price.input:,.2f} in, ${1e6 * model_price.output:,.2f} out per million tokens"


NOT_SURE = (
    "Tuneboard cannot tell whether there is such a provider: test the connection on the Settings page first."
)


def remember(variable: str, key: str) -> None:
    """Keep a key in this session's memory; an empty one forgets it."""
    keys = {**for_process(), variable: key.strip()}
    API_KEYS.set({name: value for name, value in keys.items() if value})


def remembered(variable: str) -> str:
    """Return a key of this session's memory, or ""."""
    return for_process().get(variable, "")


def for_process() -> dict[str, str]:
    """Return every key of this session's memory, for a run's environment: variable -> key."""
    return dict(API_KEYS.get())


def check_connection(choice: ModelChoice) -> tuple[str, str]:
    """Ask a model for one word, with its key of this session's memory; return what is wrong ("": nothing), and a message."""
    from engine.lm.connection import IMPORT_SECONDS

    request = ConnectionRequest(model=choice, api_key=remembered(key_variable(choice)) or None)
    try:
        problem, message = launching.child_result(
            "connection", request, timeout=request.timeout + IMPORT_SECONDS
        )
    except RunError as error:
        return "other", str(error)
    return problem, message


def refusal(models: Sequence[ModelChoice]) -> str:
    """Return why these models cannot be asked from this dashboard now, or ""."""
    if read_only() and not all(map(is_offline, models)):
        return "This is a read-only look: asking this model would cost its owner money."
    return lacking(models)


def run_refusal(spec: RunSpec) -> str:
    """Return why the models that a run asks for its rows cannot be asked now, or ""."""
    return refusal(asked_models(spec.model, spec.pipeline, spec.models))


def lacking(models: Sequence[ModelChoice]) -> str:
    """Return a message on the model that lacks its key, or "". The first needs no name: it is the one seen."""
    for choice in models:
        is_there, sentence = key_state(choice)
        if not is_there:
            return sentence if choice == models[0] else f"{title_of(choice)}: {sentence}"
    return ""


def key_state(choice: ModelChoice) -> tuple[bool, str]:
    """Return whether a model's key is there, and a message on where."""
    if reason := address_refusal(choice.base_url, setting(ADDRESSES, [])):
        return (False, reason)
    try:
        check_local(choice)
        choice = answering(choice)
    except ConfigurationError as error:
        return (False, str(error))
    variable = key_variable(choice)
    if not variable and not choice.base_url and not is_offline(choice) and find_provider(choice.name) is None:
        provider = choice.name.partition("/")[0]
        return (True, f"{provider} is asked through litellm, with the key that litellm looks for. {NOT_SURE}")
    if is_offline(choice) or not variable:
        return (True, "No key needed.")
    if remembered(variable):
        return (True, "Key: in this page's memory, until it is reloaded or closed.")
    known_key = find_key(choice.name, choice.key_env)
    if known_key:
        return (True, f"Key: from the {known_key.where}.")
    return (False, f"No key yet. Give one on the Settings page, or set {variable} and start again.")
