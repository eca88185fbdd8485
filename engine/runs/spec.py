"""What a run is, as data: everything needed to do it again.

A project's draft is the same thing with parts still missing; `ProjectDraft.problems` says in plain
sentences what is missing, and `to_run` makes a `RunSpec` of a complete one. No key is ever in here:
`ModelChoice.key_env` only names the environment variable that holds one.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.pipeline.spec import PipelineSpec
from engine.search.budget import Budget


class Frozen(BaseModel):
    """Immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(Frozen):
    """A registry name and its options: a metric or an optimizer."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class ModelChoice(Frozen):
    """Which model, where, and how it is called."""

    name: str = "offline/learner"
    base_url: str | None = None
    key_env: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


class SplitSpec(Frozen):
    """Shares of the rows for searching, choosing and the final test; they add up to 1."""

    train: float = Field(0.4, gt=0, lt=1)
    validation: float = Field(0.3, gt=0, lt=1)
    test: float = Field(0.3, gt=0, lt=1)
    seed: int = 0


class RunSpec(Frozen):
    """A complete run. `mapping` is field name -> column of the dataset."""

    pipeline: PipelineSpec
    dataset: str
    dataset_hash: str = ""
    mapping: dict[str, str]
    split: SplitSpec = SplitSpec()
    metric: Named
    optimizer: Named
    budget: Budget = Budget()
    model: ModelChoice = ModelChoice()
    prompt_model: ModelChoice | None = None
    teacher_model: ModelChoice | None = None
    adapter: Literal["chat", "json"] = "chat"
    concurrency: int = Field(16, ge=1, le=1024)
    seed: int = 0


class ProjectDraft(Frozen):
    """What a project has so far; the wizard edits it and every edit is saved."""

    pipeline: PipelineSpec | None = None
    dataset: str | None = None
    mapping: dict[str, str] = Field(default_factory=dict)
    split: SplitSpec = SplitSpec()
    metric: Named | None = None
    optimizer: Named | None = None
    budget: Budget = Budget()
    model: ModelChoice | None = None
    adapter: Literal["chat", "json"] = "chat"
    concurrency: int = 16
    seed: int = 0
