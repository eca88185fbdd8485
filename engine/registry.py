"""Classes that can be chosen by name: optimizers and trainers as `engine.parts` lists them, metrics, modules and adapters.

To add an optimizer, see `engine.optimizers`; to add a form of export, `engine.export`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from engine import parts
from engine.adapters import ADAPTERS as ADAPTERS
from engine.adapters import get_adapter as get_adapter
from engine.errors import entry_named
from engine.metrics.base import Metric
from engine.metrics.custom import WeightedSum
from engine.metrics.json_fields import JSONMatch
from engine.metrics.judge import CompleteAndGrounded, Rubric, SemanticF1
from engine.metrics.matching import Contains, ExactMatch, NumberWithin, Regex
from engine.metrics.python_code import PythonMetric
from engine.metrics.similarity import BLEU, ROUGE, ChrF, EditDistance, EmbeddingSimilarity, TokenF1
from engine.metrics.whole_set import Correlation, MacroF1
from engine.modules.best_of_n import BestOfN, MultiChainComparison, Refine
from engine.modules.code_act import CodeAct, ProgramOfThought
from engine.modules.extract import Extract
from engine.modules.module import Module
from engine.modules.parallel import Parallel
from engine.modules.predict import ChainOfThought, Predict
from engine.modules.react import ReAct
from engine.modules.retrieve import Retrieve
from engine.modules.rlm import RLM
from engine.optimizers.base import Optimizer
from engine.parts import TRAINERS as TRAINERS
from engine.search.trainers import get_trainer as get_trainer

T = TypeVar("T")

OPTIMIZERS: tuple[type[Optimizer], ...] = parts.loaded(parts.OPTIMIZERS)
METRICS: tuple[type[Metric], ...] = (
    ExactMatch,
    Contains,
    TokenF1,
    NumberWithin,
    EditDistance,
    Regex,
    JSONMatch,
    EmbeddingSimilarity,
    ROUGE,
    BLEU,
    ChrF,
    MacroF1,
    Correlation,
    SemanticF1,
    CompleteAndGrounded,
    Rubric,
    WeightedSum,
    PythonMetric,
)
MODULES: tuple[type[Module], ...] = (
    Predict,
    ChainOfThought,
    ReAct,
    ProgramOfThought,
    CodeAct,
    RLM,
    BestOfN,
    Refine,
    MultiChainComparison,
    Parallel,
    Retrieve,
    Extract,
)


def get_optimizer(name: str) -> type[Optimizer]:
    """Return an optimizer's class by its name. Raises UnknownNameError listing the names there are.

    >>> get_optimizer("MIPROv2").__name__
    'MIPROv2'
    """
    optimizer: type[Optimizer] = parts.load(parts.OPTIMIZERS, name, "optimizer")
    return optimizer


def get_metric(name: str) -> type[Metric]:
    """Return a metric's class by its name. Raises UnknownNameError."""
    return _entry("metric", name, METRICS)


def name_of(entry: type) -> str:
    """Return the name under which an entry is registered."""
    return str(getattr(entry, "name", None) or entry.__name__)


def _entry(kind: str, name: str, entries: Iterable[type[T]]) -> type[T]:
    return entry_named(kind, name, {name_of(entry): entry for entry in entries})
