"""GEPA with functions of the user's own: an instruction proposer writes the texts, a component selector chooses them.

The functions are called by the driver, which counts what they ask models. The names are DSPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from engine import loop
from engine.optimizers.shared.texts import Component, run_values
from engine.records import Candidate, Outcome
from engine.search.contract import Problem, Proposal, Propose
from engine.signature import InputField, OutputField, Signature

CHOSEN = "components"
"""The output under which a selector's choice comes back."""


class SelectionState(NamedTuple):
    """The arguments of a component selector: the prompts so far, the components, and the number of texts rewritten."""

    program_candidates: list[Candidate]
    list_of_named_predictors: list[str]
    i: int


class OwnWords(Signature):
    """Replaces a user's own function in an estimate, which invents its results."""

    texts: str = InputField(desc="Which texts are wanted.")
    proposed_instructions: str = OutputField(desc="The new text.")


def own_proposal(
    propose: Callable[..., Any],
    problem: Problem,
    candidate: Mapping[str, str],
    parts: Sequence[Component],
    runs: Sequence[Outcome],
    rollout: int,
) -> Propose:
    """Return the ask that has a user's function write these texts of a candidate."""
    rows = {part.key: [reflective_row(problem, run, part.path) for run in runs] for part in parts}
    given = {"candidate": dict(candidate), "reflective_dataset": rows, "components_to_update": list(rows)}

    async def writer() -> dict[str, Any]:
        return dict(await loop.called(propose, **given))

    label = ", ".join(part.title for part in parts)
    return Propose(OwnWords, {"texts": label}, rollout=rollout, label=label, writer=writer)


def own_choice(select: Callable[..., Any], rollout: int, **given: object) -> Propose:
    """Return the ask that has a user's function choose the components to change."""

    async def writer() -> dict[str, Any]:
        return {CHOSEN: await loop.called(select, **given)}

    return Propose(OwnWords, {"texts": CHOSEN}, rollout=rollout, label="which texts to change", writer=writer)


def chosen_parts(found: Proposal, parts: Sequence[Component]) -> tuple[Component, ...]:
    """Return the components that a user's function chose; names that it makes up are left out."""
    by_key = {part.key: part for part in parts}
    chosen = found.outputs[0].get(CHOSEN) if found.outputs else None
    names = chosen if isinstance(chosen, list | tuple) else []
    return tuple(by_key[name] for name in names if name in by_key)


def proposal_of(found: Proposal, part: Component) -> Proposal:
    """Return a user's own proposal for one text; an invented one (an estimate's) as it is."""
    if not found.outputs or found.outputs[0].keys() == OwnWords.output_fields.keys():
        return found
    return Proposal(({"proposed_instructions": found.outputs[0].get(part.key)},))


def reflective_row(problem: Problem, outcome: Outcome, path: str) -> dict[str, Any]:
    """Return a run as an instruction proposer reads it."""
    values = run_values(problem, outcome, path)
    return {
        "Inputs": values["inputs"],
        "Generated Outputs": values.get("this_step_wrote", values["answered"]),
        "Feedback": values["feedback"],
    }
