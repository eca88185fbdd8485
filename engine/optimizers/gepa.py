"""GEPA: its options, under the names of DSPy and of the gepa package, its rounds and its prompts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from engine.optimizers.base import TUNE_FIELDS, Optimizer, Options, option
from engine.optimizers.gepa_pool import Member, Pool
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.optimizers.shared.texts import (
    Component,
    answers_by_key,
    rewritten,
    step_values,
    tunable_parts,
    worst_runs,
)
from engine.records import Candidate, Outcome
from engine.search.contract import Ask, Problem, Propose, Score, Search, Steps, is_cut, relay, together
from engine.signature import InputField, OutputField, Signature
from engine.text import listed

_PLACES = "<curr_param> <side_info>"


class GEPAOptions(Options):
    """Options of GEPA."""

    auto: Literal["light", "medium", "heavy"] | None = option(
        "light", "Effort", "How many rows are run in all; a number below takes its place."
    )
    max_metric_calls: int | None = option(None, "Rows run in all", "Your own limit, in program runs.", ge=1)
    max_full_evals: int | None = option(None, "Full passes", "The same limit, in passes over all rows.", ge=1)
    reflection_minibatch_size: int = option(
        3, "Rows a reflection", "How many training rows a new wording is tried on.", ge=1
    )
    candidate_selection_strategy: Literal["pareto", "current_best", "epsilon_greedy", "top_k_pareto"] = (
        option(
            "pareto",
            "Next prompt to change",
            "Pareto: any prompt that is the best on some row; current best: always the leader.",
        )
    )
    epsilon: float = option(
        0.1,
        "Share of chance",
        "For epsilon_greedy: how often another prompt than the leader is changed.",
        ge=0,
        le=1,
    )
    frontier_type: Literal["instance", "objective", "hybrid", "cartesian"] = option(
        "instance",
        "Basis of comparison",
        "Rows; or what the metric judges by name (its objectives), both, or each of them on each row.",
    )
    top_k: int = option(5, "Best few", "For top_k_pareto: among how many of the best it chooses.", ge=1)
    component_selector: Literal["round_robin", "all"] = option(
        "round_robin", "Texts to change", "One text in turn, or all of them at once."
    )
    tune_fields: bool = TUNE_FIELDS
    acceptance_criterion: Literal["strict_improvement", "improvement_or_equal"] = option(
        "strict_improvement", "When a change is taken on", "It must win its rows, or it may also tie."
    )
    skip_perfect_score: bool = option(
        True, "Skip solved rows", "Do not reflect where every row is right already."
    )
    perfect_score: float = option(1.0, "Perfect score", "The score of a right row.")
    use_merge: bool = option(True, "Merge", "Join two good candidates that changed different texts.")
    max_merge_invocations: int = option(5, "Merges", "At most this many merges are taken on.", ge=0)
    merge_val_overlap_floor: int = option(
        5, "Rows a merge", "How many rows a merge is first judged on.", ge=1
    )
    num_parallel_proposals: int = option(
        8,
        "Proposals at once",
        "More is faster; fewer lets each learn from the last. Left alone, rounds that bring nothing grow.",
        ge=1,
    )
    num_parents: int | None = option(
        None,
        "Parents a round",
        "A round's proposals change this many different prompts; empty: each is drawn separately.",
        ge=1,
    )
    validate_best: int | None = option(
        2,
        "Full scores a round",
        "Number of a round's accepted changes that are scored; empty: all of them.",
        ge=1,
    )
    reflection_prompt_template: str | None = option(
        None,
        "Own words for the writer",
        "The prompt of the model that rewrites; <curr_param> stands for the text, <side_info> for the runs.",
    )
    reflection_prompt_templates: dict[str, str] = option(
        {},
        "Own words for the writer, step by step",
        "Step -> a template that replaces the one for all steps.",
    )
    max_candidate_proposals: int | None = option(
        None, "Proposals in all", "Stop after this many rewritten texts.", ge=1
    )
    max_tracked_candidates: int | None = option(
        None, "Prompts in all", "Stop once this many prompts were scored in full.", ge=1
    )
    score_threshold: float | None = option(
        None, "Good enough at", "0 to 1: stop once a prompt scores this on all validation rows."
    )
    patience: int = option(12, "Rounds without a gain", "Stop after this many rounds without a gain.", ge=1)
    seed: int = option(0, "Seed", "Another number draws other rows and parents.")

    @field_validator("acceptance_criterion", mode="before")
    @classmethod
    def _older_names(cls, value: Any) -> object:
        return {"strict": "strict_improvement", "or_equal": "improvement_or_equal"}.get(value, value)

    @field_validator("reflection_prompt_template", "reflection_prompt_templates")
    @classmethod
    def _has_places(cls, value: Any) -> Any:
        for text in value.values() if isinstance(value, dict) else [value or _PLACES]:
            if not all(place in text for place in _PLACES.split()):
                raise ValueError("the template needs both <curr_param> and <side_info>")
        return value

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        own = [n for n in ("max_metric_calls", "max_full_evals") if getattr(self, n) is not None]
        if len(own) == 2 or (own and "auto" in self.model_fields_set and self.auto is not None):
            raise ValueError("give one of auto, max_metric_calls and max_full_evals")
        if not own and self.auto is None:
            raise ValueError("auto=None needs max_metric_calls or max_full_evals")
        return self


_AUTO = {"light": 6, "medium": 12, "heavy": 18}


class GEPA(Optimizer):
    """Rewrites instructions (and tool descriptions) in the light of runs and what the metric says about them.

    Calls: at most B rows x c calls a row, plus one for each reflection, which takes at least two minibatches of B. B is
    `max_metric_calls`, or `max_full_evals` x (train + validation rows), or by `auto` V + 5 n + 35 T + F V with V
    validation rows, n = 6, 12 or 18, T = max(4 P log2 n, 1.5 n) for P steps and F = (T + 1) // 5 + 1. A budget in calls
    lowers B. Source: arXiv 2507.19457.

    A metric may say why in words (a Grade, or a Prediction with score and feedback); one that does not is answered for
    from the labels. Metrics written for DSPy's GEPA work as they are. One that judges several things by name
    (`objective_scores`) can have prompts compared on them. `engine.GEPA` also takes the gepa package's options; see
    `engine.compat.arguments`.

    >>> GEPA(auto="light").options.reflection_minibatch_size
    3
    """

    name = "GEPA"
    title = "Learn better wording from mistakes"
    options_model = GEPAOptions
    changes = "wording"
    options: GEPAOptions

    def search(self, problem: Problem) -> Search:
        """Score the starting prompt, then evolve in rounds until the rows are used up."""
        problem.rng.seed(f"{self.options.seed}:{problem.rng.getrandbits(64)}")
        return (yield from Evolution(self.options, problem, self._rows(problem)).search())

    def _rows(self, problem: Problem) -> int:
        """Return the program runs that the whole search may take by its options."""
        o, v = self.options, len(problem.validation)
        if o.max_metric_calls is not None:
            return o.max_metric_calls
        if o.max_full_evals is not None:
            return o.max_full_evals * (v + len(problem.train))
        return auto_rows(_AUTO[o.auto or "light"], len(problem.signatures), v)


def auto_rows(n: int, steps: int, validation: int) -> int:
    """Return DSPy's number of program runs for an effort of `n` candidates.

    >>> auto_rows(6, 1, 50), auto_rows(18, 5, 300)
    (580, 8395)
    """
    trials = int(max(4 * steps * math.log2(n), 1.5 * n))
    full = (trials + 1) // 5 + 1 + (trials < 5)
    return validation + 5 * n + 35 * trials + full * validation


# Other runs of the same parent that a reflection is shown besides its own rows; rounds taken at once at most.
_OTHER_RUNS, _AT_ONCE = 17, 3


@dataclass
class _Proposal:
    """One proposal of a round: the parent with its place in the pool, its runs, the texts to change, and the child."""

    place: int
    parent: Candidate
    rows: tuple[int, ...]
    runs: tuple[Outcome, ...] = ()
    parts: tuple[Component, ...] = ()
    child: Candidate | None = None


_Child = tuple[Candidate, tuple[int, ...]]
"""A candidate to score in full, and the places of its parents in the pool."""

_Merge = tuple[Candidate, tuple[int, int], tuple[int, ...]]
"""A candidate that joins two members of the pool, their places, and the rows it is judged on."""


class Evolution:
    """One search of at most `rows` program runs: the pool, the best by full score, and the rounds."""

    def __init__(self, options: GEPAOptions, problem: Problem, rows: int) -> None:
        self.options, self.problem, self.rows = options, problem, rows
        self.pool = Pool(options.frontier_type)
        self._leaderboard = Leaderboard(problem)
        self._parts = tunable_parts(problem, fields=options.tune_fields)
        self._next_part: dict[int, int] = {}
        self._epoch: deque[int] = deque()
        self._runs_by_member: dict[int, dict[int, Outcome]] = {}
        self._merges_due = self._merges_done = self._rewritten_texts = 0
        self._has_children = False

    def search(self) -> Search:
        """Score the starting prompt, then go on until nothing is left to spend."""
        return relay(self._rounds(), self._count)

    def _count(self, asks: Sequence[Ask]) -> None:
        self.rows -= sum(len(ask.rows) for ask in asks if isinstance(ask, Score))

    @property
    def _rows_left(self) -> int:
        return int(min(self.rows, self.problem.meter.rows_left))

    def _rounds(self) -> Search:
        if not self.problem.validation:
            return None
        children = yield from self._start()
        if not self._leaderboard.open or not self._parts:
            return None
        idle = 0
        while True:
            if children is not None:
                found = yield from self._validate(children)
                idle = 0 if found else idle + self._width(idle)
            if not self._leaderboard.open:
                return None
            if (reason := self._ending(idle)) is not None or not self._room():
                wanted = self.options.frontier_type
                other = f"Prompts were compared by rows and not by frontier_type={wanted!r}: the metric gives no objective_scores."
                return (
                    " ".join(filter(None, [reason, other if self.pool.frontier_type != wanted else ""]))
                    or None
                )
            children = yield from self._round(self._room(idle))

    def _start(self) -> Steps[list[_Child] | None]:
        """Score the starting prompt and meanwhile take the first proposals; None where a good start would end the search."""
        seed = self.problem.seed
        jobs: list[Any] = [self._leaderboard.validate([seed], "starting prompt")]
        place = self.pool.add(Member(seed, {}))
        may_start = self._parts and self.options.score_threshold is None
        n = self._room(planned=len(self.problem.validation)) if may_start else 0
        if n:
            jobs.append(self._propose([self._proposal(place) for _ in range(n)], None))
        first, *proposed = yield from together(jobs)
        self.pool.members[place] = Member.of(seed, first[0])
        return proposed[0] if proposed else None

    def _width(self, idle: int) -> int:
        """Return how many rounds are taken at once: after some that brought nothing there is nothing to wait for between them."""
        chosen = "num_parallel_proposals" in self.options.model_fields_set
        return 1 if chosen else max(1, min(_AT_ONCE, idle + 1, self.options.patience - idle))

    def _room(self, idle: int = 0, planned: int = 0) -> int:
        """Return how many proposals there is room for besides `planned` rows; one of them is scored in full."""
        o, room = self.options, self._rows_left - planned - len(self.problem.validation)
        most = o.num_parallel_proposals * self._width(idle)
        if o.max_candidate_proposals is not None:
            most = min(most, o.max_candidate_proposals - self._rewritten_texts)
        return max(0, min(most, room // (2 * self._minibatch)))

    def _ending(self, idle: int) -> str | None:
        """Return why the search should end here, None if it should not; "" leaves the reason to the driver."""
        o, score = self.options, self._leaderboard.score or 0.0
        if o.score_threshold is not None and score >= o.score_threshold:
            return f"A prompt scored {100 * score:.0f} % on all validation rows, which is good enough."
        if o.max_candidate_proposals is not None and self._rewritten_texts >= o.max_candidate_proposals:
            return f"{self._rewritten_texts} texts were rewritten, as many as were allowed; the best prompt is kept."
        if o.max_tracked_candidates is not None and len(self.pool.members) >= o.max_tracked_candidates:
            return f"{len(self.pool.members)} prompts were scored in full, as many as were allowed; the best is kept."
        if idle >= o.patience:
            if not self._has_children:
                return ""
            rounds = "A round" if idle == 1 else f"{idle} rounds in a row"
            return f"{rounds} brought nothing new; the best prompt is kept."
        return None

    def _round(self, n: int) -> Steps[list[_Child]]:
        """Run one round of up to `n` proposals; return the children to score in full."""
        o, pool = self.options, self.pool
        parents = [
            pool.select(o.candidate_selection_strategy, self.problem.rng, epsilon=o.epsilon, top_k=o.top_k)
            for _ in range(min(n, o.num_parents or n))
        ]
        proposals = [self._proposal(parents[i % len(parents)]) for i in range(n)]
        return (yield from self._propose(proposals, self._merge()))

    def _propose(self, proposals: Sequence[_Proposal], merge: _Merge | None) -> Steps[list[_Child]]:
        """Run the parents, reflect and try the children; return those to score in full."""
        accepted = yield from self._run_parents(proposals, merge)
        yield from self._reflect(proposals)
        children = yield from self._try_children(proposals)
        self._merges_due += bool(children)
        return [*accepted, *children]

    # Who and where

    @property
    def _minibatch(self) -> int:
        return max(1, min(self.options.reflection_minibatch_size, len(self.problem.train)))

    def _parts_in_turn(self, place: int) -> tuple[Component, ...]:
        """Return the component whose turn it is for a member of the pool, or all of them."""
        if self.options.component_selector == "all":
            return self._parts
        at = self._next_part.get(place, place)
        self._next_part[place] = at + 1
        return (self._parts[at % len(self._parts)],)

    def _proposal(self, place: int) -> _Proposal:
        rows: list[int] = []
        while len(rows) < self._minibatch:
            if not self._epoch:
                order = list(self.problem.train or self.problem.validation)
                self.problem.rng.shuffle(order)
                self._epoch.extend(order)
            row = self._epoch.popleft()
            if row not in rows:
                rows.append(row)
        return _Proposal(place, self.pool.members[place].candidate, tuple(rows))

    def _merge(self) -> _Merge | None:
        o = self.options
        if not o.use_merge or not self._merges_due or self._merges_done >= o.max_merge_invocations:
            return None
        found = self.pool.merge(self.problem.rng)
        if found is None:
            return None
        joined, one, other = found
        rows = self.pool.contested_rows(one, other, o.merge_val_overlap_floor, self.problem.rng)
        if self._rows_left < len(rows) + len(self.problem.validation) + 2 * self._minibatch:
            return None
        self._merges_due -= 1
        parents = [self.pool.members[i].candidate for i in (one, other)]
        child = joined.derived("Joins two good candidates that changed different texts.", *parents)
        return child, (one, other), rows

    # The steps of a round

    def _run_parents(self, proposals: Sequence[_Proposal], merge: _Merge | None) -> Steps[list[_Child]]:
        """Run every parent on its rows, and a merge on its own; return the merge if it holds its own."""
        members = self.pool.members
        asks = [Score(p.parent, p.rows, label="rows to learn from", trace=True) for p in proposals]
        if merge is not None:
            asks.append(Score(merge[0], merge[2], label="a merge on a few rows"))
        answers = yield asks
        self._leaderboard.note(asks, answers)
        for proposal, evaluation in zip(proposals, answers, strict=False):
            proposal.runs = evaluation.outcomes
            self._runs_by_member.setdefault(proposal.place, {}).update({o.row: o for o in proposal.runs})
        if merge is None:
            return []
        child, parents, rows = merge
        sides = [sum(members[i].scores[r] for r in rows) for i in parents]
        if is_cut(asks[-1:], answers[-1:]) or sum(o.score for o in answers[-1].outcomes) < max(sides):
            return []
        self._merges_done += 1
        return [(child, parents)]

    def _reflect(self, proposals: Sequence[_Proposal]) -> Search:
        """Have the texts of every proposal rewritten, all at once."""
        asks: dict[int, list[Propose]] = {}
        for place, proposal in enumerate(proposals):
            perfect = all(o.score >= self.options.perfect_score for o in proposal.runs)
            is_cut = len(proposal.runs) < len(proposal.rows)
            if is_cut or (perfect and self.options.skip_perfect_score):
                continue
            proposal.parts = self._parts_in_turn(proposal.place)
            runs = self._runs(proposal)
            asks[place] = []
            for part in proposal.parts:
                self._rewritten_texts += 1
                own = self.options.reflection_prompt_templates.get(part.path)
                template = own or self.options.reflection_prompt_template or ""
                asks[place].append(
                    _rewrite(self.problem, proposal.parent, part, runs, self._rewritten_texts, template)
                )
        if not asks:
            return
        answers = yield list(chain.from_iterable(asks.values()))
        for place, found in answers_by_key(asks, answers).items():
            child, changed = rewritten(proposals[place].parent, proposals[place].parts, found)
            proposals[place].child = child if changed else None

    def _runs(self, proposal: _Proposal) -> list[Outcome]:
        """Return the proposal's own runs, and other runs of the same parent that are already paid for."""
        known = [o for row, o in self._runs_by_member[proposal.place].items() if row not in proposal.rows]
        self.problem.rng.shuffle(known)
        known.sort(key=lambda o: o.score >= self.options.perfect_score)
        return [*proposal.runs, *known[:_OTHER_RUNS]]

    def _try_children(self, proposals: Sequence[_Proposal]) -> Steps[list[_Child]]:
        """Run every new child on its parent's rows; return those that gained, the largest gain first."""
        fresh: dict[str, tuple[Candidate, list[_Proposal]]] = {}
        for proposal in proposals:
            if proposal.child is None or self.pool.holds(proposal.child):
                continue
            wrong = sum(o.score < self.options.perfect_score for o in proposal.runs)
            reason = f"Rewrote {listed([part.title for part in proposal.parts])} after {wrong} of {len(proposal.rows)} rows went wrong."
            child = proposal.child.derived(reason, proposal.parent)
            fresh.setdefault(child.id, (child, []))[1].append(proposal)
        if not fresh:
            return []
        self._has_children = True
        # What several reflections came to is tried on the rows of all of them.
        asks = [
            Score(child, tuple(dict.fromkeys(r for p in same for r in p.rows)), "a new wording on a few rows")
            for child, same in fresh.values()
        ]
        answers = yield asks
        self._leaderboard.note(asks, answers)
        least = 0.0 if self.options.acceptance_criterion == "improvement_or_equal" else 1e-9
        gains: list[tuple[float, _Child]] = []
        for ask, (child, same), evaluation in zip(asks, fresh.values(), answers, strict=True):
            if len(evaluation.outcomes) == len(ask.rows):
                pairs = [(evaluation.scores[o.row], o.score) for p in same for o in p.runs]
                gain = sum(new - old for new, old in pairs) / max(1, len(pairs))
                gains.append((gain, (child, (same[0].place,))))
        gains.sort(key=lambda found: -found[0])
        return [child for gain, child in gains if gain >= least][: self.options.validate_best]

    def _validate(self, accepted: Sequence[_Child]) -> Steps[int]:
        """Score accepted candidates on every validation row, as many as are paid for, and put them in the pool."""
        room = self._rows_left // max(1, len(self.problem.validation))
        chosen = accepted[:room]
        evaluations = yield from self._leaderboard.validate([c for c, _ in chosen])
        for (candidate, parents), evaluation in zip(chosen, evaluations, strict=True):
            if len(evaluation.outcomes) == len(self.problem.validation):
                self.pool.add(Member.of(candidate, evaluation, parents))
        return len(evaluations)


def _rewrite(
    problem: Problem,
    candidate: Candidate,
    component: Component,
    outcomes: Sequence[Outcome],
    rollout: int,
    template: str,
) -> Propose:
    """Return the ask that has one text of a candidate rewritten from some of its runs. Calls: 1.

    `template`, if any, takes the place of the usual words; in it <curr_param> is the text and <side_info> the runs.
    """
    inputs = {
        **step_values(problem, component.path),
        "runs": worst_runs(problem, component.path, outcomes),
        "advice": "",
    }
    name = "current_description" if component.is_description else "current_instructions"
    inputs |= {"text_wanted": component.title} if component.is_description else {}
    inputs[name] = component.text(candidate)
    signature: type[Signature] = RewriteDescription if component.is_description else RewriteInstructions
    if template:
        own = template.replace("<curr_param>", f"`{name}`").replace("<side_info>", "`runs`")
        signature = signature.with_instructions(own)
    return Propose(signature, inputs, rollout=rollout, label=component.title)


class _Rewrite(Signature):
    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step: its fields and what they mean.")
    runs: list[dict[str, Any]] = InputField(
        desc="Runs, the worst first: inputs, right outputs, what was answered, score and feedback."
    )
    advice: str = InputField(desc="What to heed; may be empty.")


class RewriteInstructions(_Rewrite):
    """
    A language model runs one step of a program under the current instructions. You see some of its runs: what
    the step read, what would have been right, what came out, and what was said about it.
    Write better instructions for the step. First find out why the low runs went wrong: a rule of the task that
    the instructions do not state, a fact about the subject, a form the answer must have. Then state those rules
    so that they hold for inputs that are not shown, name the exact output values and when each is right, and
    keep every rule of the current instructions that the runs do not speak against. Do not quote the runs, and
    do not describe the answer's layout: the program adds that.
    """

    current_instructions: str = InputField(desc="The instructions in use now.")
    proposed_instructions: str = OutputField(
        desc="The new instructions, whole, ready to be used as they are."
    )


class RewriteDescription(_Rewrite):
    """
    A language model runs one step of a program. It goes by the descriptions of its fields, and of the tools it may
    call. You see runs of the step: what it read, what would have been right, what it did, and what was said about it.
    Write a better description of the one that is named. Of a tool: what it does, when to call it and when not, and
    what its arguments must look like. Of a field: what it holds, which values it can have and when each is right.
    State only what the runs and the current description support.
    """

    text_wanted: str = InputField(desc="Which description is wanted.")
    current_description: str = InputField(desc="The description in use now; may be empty.")
    proposed_description: str = OutputField(desc="The new description, whole.")
