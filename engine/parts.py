"""Optional parts: what can be chosen by name. The tuples below are the one list; nothing else imports a part.

A part is one file or folder. Its class, or an object in its module, describes itself by the attributes of `Part`,
and has the few methods of its kind. It is registered here by its name and dotted path, as in an entry point, and
imported when it is used.

    kind        contract                               methods
    optimizer   engine.optimizers.base.Optimizer       search(problem)
    trainer     engine.search.trainers.Trainer         check(order), estimate(order), train(order, monitor)
    backend     engine.search.backend.BackendPart      opened(choice, settings)
    transport   engine.lm.exchange.Transport           send(request); made with a model and its key
    export      engine.export.formats.ExportFormat     render(program)
    task form   engine.pipeline.importers.step.TaskForm read(text)
    log form    engine.dataset.logs.LogForm            fits(record), read(record)

A module is importable without what its part needs; the part says so:

    >>> class Whisper:
    ...     name = "whisper"
    ...     title = "A quiet part"
    ...     about = "Shows the description of a part."
    ...     needs = Needs("A quiet part needs Loud", extra="weights", modules=("no_such_module",))
    >>> missing(Whisper)
    "A quiet part needs Loud: pip install 'tuneboard[weights]'."
    >>> load(TRAINERS, "file", "trainer").title
    'Only a training file'
"""

from __future__ import annotations

import pkgutil
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

from engine.errors import entry_named

Listed = tuple[tuple[str, str], ...]
"""Parts of one kind: the name of each, and its module and attribute."""

OPTIMIZERS: Listed = (
    ("Autotune", "engine.optimizers.autotune.optimizer:Autotune"),
    ("LabeledFewShot", "engine.optimizers.few_shot:LabeledFewShot"),
    ("BootstrapFewShot", "engine.optimizers.few_shot:BootstrapFewShot"),
    (
        "BootstrapFewShotWithRandomSearch",
        "engine.optimizers.few_shot_search:BootstrapFewShotWithRandomSearch",
    ),
    ("BootstrapFewShotWithOptuna", "engine.optimizers.few_shot_search:BootstrapFewShotWithOptuna"),
    ("KNNFewShot", "engine.optimizers.few_shot:KNNFewShot"),
    ("COPRO", "engine.optimizers.copro:COPRO"),
    ("BayesianSignatureOptimizer", "engine.optimizers.mipro.optimizer:BayesianSignatureOptimizer"),
    ("GEPA", "engine.optimizers.gepa.optimizer:GEPA"),
    ("AvatarOptimizer", "engine.optimizers.avatar:AvatarOptimizer"),
    ("MIPROv2", "engine.optimizers.mipro.optimizer:MIPROv2"),
    ("SIMBA", "engine.optimizers.simba:SIMBA"),
    ("InferRules", "engine.optimizers.infer_rules:InferRules"),
    ("FieldByField", "engine.optimizers.field_by_field:FieldByField"),
    ("BootstrapFinetune", "engine.optimizers.finetune:BootstrapFinetune"),
    ("GRPO", "engine.optimizers.grpo:GRPO"),
    ("BetterTogether", "engine.optimizers.better_together:BetterTogether"),
)
TRAINERS: Listed = (
    ("local", "engine.optimizers.training.local:LocalTrainer"),
    ("openai", "engine.optimizers.training.openai:OpenAITrainer"),
    ("file", "engine.optimizers.training.file:FileTrainer"),
)
BACKENDS: Listed = (
    ("local", "engine.search.backend:LocalBackend"),
    ("ray", "engine.runs.backends.ray:RayBackend"),
)
TRANSPORTS: Listed = (
    ("offline", "engine.lm.transports.offline:OfflineTransport"),
    ("local", "engine.lm.local.worker:LocalTransport"),
    ("openai chat", "engine.lm.transports.openai_http:OpenAITransport"),
    ("openai responses", "engine.lm.transports.responses:ResponsesTransport"),
    ("openai text", "engine.lm.transports.responses:TextTransport"),
    ("litellm chat", "engine.lm.transports.litellm_gateway:LiteLLMTransport"),
    ("litellm responses", "engine.lm.transports.litellm_gateway:LiteLLMResponses"),
    ("litellm text", "engine.lm.transports.litellm_gateway:LiteLLMText"),
    ("openai embeddings", "engine.lm.embedder:OpenAIEmbeddings"),
    ("litellm embeddings", "engine.lm.transports.litellm_gateway:LiteLLMEmbeddings"),
)
"""Ways to an endpoint: the protocol, and the type of model."""
EXPORTS: Listed = (
    ("json", "engine.export.script:PROGRAM_FILE"),
    ("python", "engine.export.alone:FORM"),
    ("python_tuneboard", "engine.export.script:FORM"),
    ("records", "engine.export.record_module:FORM"),
    ("schema", "engine.export.record_module:SCHEMA"),
    ("dspy", "engine.export.dspy_script:FORM"),
    ("dspy_state", "engine.export.dspy_script:STATE"),
    ("messages", "engine.export.messages:TEXT"),
    ("messages_json", "engine.export.messages:JSON"),
    ("openai_request", "engine.export.messages:REQUESTS"),
    ("markdown", "engine.export.page:FORM"),
    ("workflow", "engine.export.workflow:FORM"),
    ("weights", "engine.export.script:WITH_WEIGHTS"),
    ("container", "engine.export.container:FORM"),
)
TASK_FORMS: Listed = (
    ("signature", "engine.pipeline.importers.task:SIGNATURE"),
    ("class", "engine.pipeline.importers.task:CLASS"),
    ("schema", "engine.pipeline.importers.task:SCHEMA"),
    ("state", "engine.pipeline.importers.task:STATE"),
    ("chat", "engine.pipeline.importers.prompts:CHAT"),
    ("prompt", "engine.pipeline.importers.prompts:PROMPT"),
    ("sentence", "engine.pipeline.importers.prompts:SENTENCE"),
)
LOG_FORMS: Listed = (
    ("otel", "engine.dataset.logs:OTEL"),
    ("phoenix", "engine.dataset.logs:PHOENIX"),
    ("langfuse", "engine.dataset.logs:LANGFUSE"),
    ("chat", "engine.dataset.logs:CHAT"),
)
"""Forms of logs, more telling ones first: a span of Phoenix may hold messages too."""


class Needs(NamedTuple):
    """Packages that a part needs besides Tuneboard's own. `reason` begins the message where they are missing."""

    reason: str
    extra: str
    modules: tuple[str, ...]

    def missing(self) -> str:
        """Return a message on what to install, or "" where all is installed."""
        if all(find_spec(module) for module in self.modules):
            return ""
        return f"{self.reason}: pip install 'tuneboard[{self.extra}]'."


class Part(Protocol):
    """The description of a part, as attributes of its class or object.

    A part with options has `options_model`, a pydantic class, and one with an extra has `needs`, a `Needs`.
    """

    @property
    def name(self) -> str:
        """Name under which it is chosen."""

    @property
    def title(self) -> str:
        """A few words for a form."""

    @property
    def about(self) -> str:
        """One sentence on what it does."""


def load(parts: Listed, name: str, kind: str) -> Any:
    """Import a part and return its class or object. Raises UnknownNameError listing the names of its kind.

    >>> load(OPTIMIZERS, "MIPROv2", "optimizer").__name__
    'MIPROv2'
    """
    return pkgutil.resolve_name(entry_named(kind, name, dict(parts)))


def loaded(parts: Listed) -> tuple[Any, ...]:
    """Import all parts of a kind and return them in their order."""
    return tuple(pkgutil.resolve_name(path) for _, path in parts)


def check_name(parts: Listed, name: str, kind: str) -> str:
    """Return a registered name. Raises UnknownNameError."""
    entry_named(kind, name, dict(parts))
    return name


def missing(part: object) -> str:
    """Return a message on what a part needs installed, or "" where it needs nothing more."""
    needs: Needs | None = getattr(part, "needs", None)
    return needs.missing() if needs else ""
