"""GEPA's search: its rounds, and the prompts that rewrite. It knows the options, and nothing of models or stores."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from engine import loop
from engine.basics.data import JsonObject
from engine.basics.text import listed, percent
from engine.optimizers.gepa.options import GEPAOptions
from engine.optimizers.gepa.pool import Member, Pool
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.optimizers.shared.texts import (
    Component,
    answers_by_key,
    rewritten,
    run_values,
    step_values,
    tunable_parts,
    worst_runs,
)
from engine.records import Candidate, Outcome
from engine.search.contract import (
    Ask,
    Problem,
    Proposal,
    Propose,
    Score,
    Search,
    Steps,
    is_cut,
    relay,
    together,
)
from engine.signature import InputField, OutputField, Signature

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

    def __init__(
        self,
        options: GEPAOptions,
        problem: Problem,
        rows: int,
        proposer: Callable[..., Any] | None = None,
        selector: Callable[..., Any] | None = None,
    ) -> None:
        self.options, self.problem, self.rows = options, problem, rows
        self._proposer, self._selector = proposer, selector
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
            if children and self._overlaps:
                # The next proposals do not wait for the full scores of these.
                children = yield from self._validate_and_go_on(children)
                idle = 0
                continue
            if children is not None:
                scored = yield from self._validate(children)
                idle = 0 if scored else idle + self._width(idle)
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

    def _grown(self, option: str, size: int) -> int:
        """Return a size of a round: as it was chosen, else larger with several steps, since a round waits longer.

        It waits for a row of the parent, a reflection and a row of the child: for three calls in turn with one step.
        """
        chosen = option in self.options.model_fields_set
        return size if chosen else size * (2 * len(self.problem.signatures) + 1) // 3

    def _room(self, idle: int = 0, planned: int = 0) -> int:
        """Return how many proposals there is room for besides `planned` rows; one of them is scored in full."""
        o, room = self.options, self._rows_left - planned - len(self.problem.validation)
        most = self._grown("num_parallel_proposals", o.num_parallel_proposals) * self._width(idle)
        if o.max_candidate_proposals is not None:
            most = min(most, o.max_candidate_proposals - self._rewritten_texts)
        return max(0, min(most, room // (2 * self._minibatch)))

    def _ending(self, idle: int) -> str | None:
        """Return why the search should end here, None if it should not; "" leaves the reason to the driver."""
        o, score = self.options, self._leaderboard.score or 0.0
        if o.score_threshold is not None and score >= o.score_threshold:
            return f"A prompt scored {percent(score, 0)} on all validation rows, which is good enough."
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

    @property
    def _overlaps(self) -> bool:
        """True if proposals are taken while others are scored in full: of several steps, whose calls wait for each other.

        With one step it saves little, and the parents' full scores are worth the wait (tests/benchmarks/README.md).
        """
        return len(self.problem.signatures) > 1 and self.options.score_threshold is None

    def _validate_and_go_on(self, accepted: Sequence[_Child]) -> Steps[list[_Child] | None]:
        """Score accepted children in full, and meanwhile take the next proposals, half of them from these children.

        Returns the next children; None where there is no room for proposals, or an end that must be looked at first.
        """
        chosen = self._paid_for(accepted)
        planned = len(chosen) * len(self.problem.validation)
        n = self._room(planned=planned) if chosen and self._ending(0) is None else 0
        full = self.options.max_tracked_candidates
        if not n or (full is not None and len(self.pool.members) + len(chosen) >= full):
            yield from self._validate(accepted)
            return None
        others, merge = self._selected(n), self._merge()
        places = [self.pool.add(Member(c, {}, parents)) for c, parents in chosen]
        drawn = [places[i // 2 % len(places)] if i % 2 == 0 else other for i, other in enumerate(others)]
        evaluations, following = yield from together(
            [
                self._leaderboard.validate([c for c, _ in chosen]),
                self._propose([self._proposal(place) for place in drawn], merge),
            ]
        )
        for place, (candidate, parents), evaluation in zip(places, chosen, evaluations, strict=True):
            self.pool.members[place] = Member.of(candidate, evaluation, parents)
        return following if self._leaderboard.open else None

    def _selected(self, n: int) -> list[int]:
        """Return the places of the parents of `n` proposals."""
        o = self.options
        parents = [
            self.pool.select(
                o.candidate_selection_strategy, self.problem.rng, epsilon=o.epsilon, top_k=o.top_k
            )
            for _ in range(min(n, o.num_parents or n))
        ]
        return [parents[i % len(parents)] for i in range(n)]

    def _round(self, n: int) -> Steps[list[_Child]]:
        """Run one round of up to `n` proposals; return the children to score in full."""
        return (
            yield from self._propose([self._proposal(place) for place in self._selected(n)], self._merge())
        )

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
        merge = self.pool.merge(self.problem.rng)
        if merge is None:
            return None
        joined, one, other = merge
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
        reflecting = [i for i, proposal in enumerate(proposals) if self._worth_reflecting(proposal)]
        yield from self._choose_parts([proposals[i] for i in reflecting])
        for place in reflecting:
            proposal = proposals[place]
            runs = self._runs(proposal)
            if self._proposer is not None:
                self._rewritten_texts += len(proposal.parts)
                texts = self._texts(proposal.parent)
                number = self._rewritten_texts
                asks[place] = [
                    own_proposal(self._proposer, self.problem, texts, proposal.parts, runs, number)
                ]
                continue
            asks[place] = []
            for part in proposal.parts:
                self._rewritten_texts += 1
                of_step = self.options.reflection_prompt_templates.get(part.path)
                template = of_step or self.options.reflection_prompt_template or ""
                asks[place].append(
                    _rewrite(self.problem, proposal.parent, part, runs, self._rewritten_texts, template)
                )
        if not asks:
            return
        answers = yield list(chain.from_iterable(asks.values()))
        for place, found in answers_by_key(asks, answers).items():
            parts = proposals[place].parts
            given = found if self._proposer is None else [proposal_of(found[0], part) for part in parts]
            child, changed = rewritten(proposals[place].parent, parts, given)
            proposals[place].child = child if changed else None

    def _worth_reflecting(self, proposal: _Proposal) -> bool:
        perfect = all(o.score >= self.options.perfect_score for o in proposal.runs)
        is_cut = len(proposal.runs) < len(proposal.rows)
        return not (is_cut or (perfect and self.options.skip_perfect_score))

    def _choose_parts(self, proposals: Sequence[_Proposal]) -> Search:
        """Give every proposal its texts to change: those whose turn it is, or those that the user's function chooses."""
        for proposal in proposals:
            proposal.parts = self._parts_in_turn(proposal.place)
        if self._selector is None or not proposals:
            return
        names = [part.key for part in self._parts]
        state = SelectionState([m.candidate for m in self.pool.members], names, self._rewritten_texts)
        asks = [
            own_choice(
                self._selector,
                self._rewritten_texts + number,
                state=state,
                trajectories=[run_values(self.problem, o) for o in proposal.runs],
                subsample_scores=[o.score for o in proposal.runs],
                candidate_idx=proposal.place,
                candidate=self._texts(proposal.parent),
            )
            for number, proposal in enumerate(proposals)
        ]
        answers = yield asks
        for proposal, found in zip(proposals, answers, strict=True):
            proposal.parts = chosen_parts(found, self._parts) or proposal.parts

    def _texts(self, candidate: Candidate) -> dict[str, str]:
        return {part.key: part.text(candidate) for part in self._parts}

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
        best = self.options.validate_best
        return [c for gain, c in gains if gain >= least][: best and self._grown("validate_best", best)]

    def _validate(self, accepted: Sequence[_Child]) -> Steps[int]:
        """Score accepted candidates on every validation row, as many as are paid for, and put them in the pool."""
        chosen = self._paid_for(accepted)
        evaluations = yield from self._leaderboard.validate([c for c, _ in chosen])
        for (candidate, parents), evaluation in zip(chosen, evaluations, strict=True):
            if len(evaluation.outcomes) == len(self.problem.validation):
                self.pool.add(Member.of(candidate, evaluation, parents))
        return len(evaluations)

    def _paid_for(self, accepted: Sequence[_Child]) -> Sequence[_Child]:
        return accepted[: self._rows_left // max(1, len(self.problem.validation))]


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
        instructions = template.replace("<curr_param>", f"`{name}`").replace("<side_info>", "`runs`")
        signature = signature.with_instructions(instructions)
    return Propose(signature, inputs, rollout=rollout, label=component.title)


# Functions of the user: an instruction proposer writes the texts, a component selector chooses them. The driver calls
# them, and counts what they ask models. The names are DSPy's.

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

    async def writer() -> JsonObject:
        return dict(await loop.called(propose, **given))

    label = ", ".join(part.title for part in parts)
    return Propose(OwnWords, {"texts": label}, rollout=rollout, label=label, writer=writer)


def own_choice(select: Callable[..., Any], rollout: int, **given: object) -> Propose:
    """Return the ask that has a user's function choose the components to change."""

    async def writer() -> JsonObject:
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


def reflective_row(problem: Problem, outcome: Outcome, path: str) -> JsonObject:
    """Return a run as an instruction proposer reads it."""
    values = run_values(problem, outcome, path)
    return {
        "Inputs": values["inputs"],
        "Generated Outputs": values.get("this_step_wrote", values["answered"]),
        "Feedback": values["feedback"],
    }


class _Rewrite(Signature):
    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step: its fields and what they mean.")
    runs: list[JsonObject] = InputField(
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
