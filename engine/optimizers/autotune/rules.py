"""Rules: asks that have them written from labelled rows and runs, and reading of the answers.

Several readers write side by side. Each sees the labelled rows in another order and its share of the failures,
grouped by what went wrong, with the nearest successes (Contrastive Reflection, arXiv 2606.30840; the failure modes of
Opik's hierarchical optimizer). They write rules, not whole instructions: small deltas can be merged across readers
(as in the playbooks of ACE, arXiv 2510.04618). Nothing here yields or calls.
"""

from __future__ import annotations

import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Container, Mapping, Sequence

from engine.basics.data import JsonObject
from engine.basics.similarity import odd_labels, words
from engine.optimizers.shared.texts import labelled_rows, run_values, step_values
from engine.records import Outcome
from engine.search.contract import Problem, Proposal, Propose
from engine.signature import InputField, OutputField, Signature

# How often labels are shuffled, and by how many standard deviations words must say more of the real ones.
# Tuned on 200 tables whose labels are random: all stayed under 3.
_SHUFFLES, _CLEAR_DEVIATIONS = 24, 4.0
# Rows that are read to see whether words predict labels.
_ROWS = 400
# The share of rows with doubtful labels from which on these count as wrong.
_WRONG_SHARE = 0.02
# Rules that are read of one proposal.
_MOST_RULES = 60


def row_words(problem: Problem, row: int) -> frozenset[str]:
    """Return the words of a row's inputs."""
    values = problem.rows[row]
    text = " ".join(str(values.get(name, "")) for name in problem.input_fields)
    return frozenset(words(text))


def covering_rows(problem: Problem, rows: Sequence[int], k: int) -> list[int]:
    """Return up to `k` rows that together show most of what separates labels.

    Words weigh as much as they say about the label beyond chance; each further row counts what is not covered yet.
    """
    words = {row: row_words(problem, row) for row in rows}
    weights = _word_weights(problem, words)
    # Most words say nothing, and a row's worth changes only when a word of it is covered.
    telling = {row: frozenset(w for w in own if weights.get(w)) for row, own in words.items()}
    worth = {row: math.fsum(weights[w] for w in own) for row, own in telling.items()}
    covered = Counter[str]()
    chosen: list[int] = []
    while worth and len(chosen) < k:
        best = max(worth, key=worth.__getitem__)
        del worth[best]
        chosen.append(best)
        covered.update(telling[best])
        for row in worth:
            if telling[row] & telling[best]:
                worth[row] = math.fsum(weights[w] * 0.2 ** covered[w] for w in telling[row])
    return chosen


def doubtful_rows(problem: Problem, rows: Sequence[int]) -> set[int]:
    """Return the rows with a label that their words speak against; none if they are few: those may be rare exceptions."""
    texts = [" ".join(str(problem.rows[row].get(n, "")) for n in problem.input_fields) for row in rows]
    labels = [name for name in problem.output_fields if is_label(problem, name)]
    odd = (odd_labels(texts, [str(problem.rows[row].get(name)) for row in rows])[0] for name in labels)
    doubtful = {rows[at] for found in odd for at in found}
    return doubtful if len(doubtful) >= _WRONG_SHARE * len(rows) else set()


def words_predict_labels(problem: Problem, rng: random.Random) -> bool | None:
    """Return whether words of the inputs say clearly more about labels than about shuffled ones; None without labels."""
    rows = list(dict.fromkeys((*problem.train[:_ROWS], *problem.validation[:_ROWS])))[:_ROWS]
    words = {row: row_words(problem, row) for row in rows}
    predicted: bool | None = None
    for name in problem.output_fields:
        labels = [str(problem.rows[row].get(name)) for row in rows]
        if not 1 < len(set(labels)) <= max(2, 0.3 * len(rows)):
            continue
        predicted = False
        real, shuffled = _total_information(words, rows, labels), []
        for _ in range(_SHUFFLES):
            rng.shuffle(labels)
            shuffled.append(_total_information(words, rows, labels))
        spread = statistics.stdev(shuffled)
        if real > statistics.fmean(shuffled) + _CLEAR_DEVIATIONS * max(spread, 0.05 * max(shuffled)):
            return True
    return predicted


def _total_information(
    words: Mapping[int, frozenset[str]], rows: Sequence[int], labels: Sequence[str]
) -> float:
    return math.fsum(_label_information(words, dict(zip(rows, labels, strict=True))).values())


def is_label(problem: Problem, name: str) -> bool:
    """Return whether an output is a short label of a few values."""
    values: set[str] = set()
    for row in problem.train:
        values.add(str(problem.rows[row].get(name, "")))
        if len(values) > 20:
            return False
    return len(values) > 1 and all(len(v) <= 40 for v in values)


def _word_weights(problem: Problem, words: Mapping[int, frozenset[str]]) -> dict[str, float]:
    """Return by word how much it says about the labels; 1 for each where no output is a label."""
    weights: dict[str, float] = {}
    for name in problem.output_fields:
        labels = {row: str(problem.rows[row].get(name)) for row in words}
        if not 1 < len(set(labels.values())) <= max(2, 0.6 * len(labels)):
            continue
        for word, information in _label_information(words, labels).items():
            weights[word] = weights.get(word, 0.0) + information
    return weights or {word: 1.0 for found in words.values() for word in found}


def _label_information(words: Mapping[int, frozenset[str]], labels: Mapping[int, str]) -> dict[str, float]:
    """Return by word how much more its rows' labels say than chance (log-likelihood ratio, less 1)."""
    sizes = Counter(labels.values())
    by_word: dict[str, Counter[str]] = {}
    for row, its_words in words.items():
        for word in its_words:
            by_word.setdefault(word, Counter())[labels[row]] += 1
    weights = {}
    for word, counts in by_word.items():
        n = sum(counts.values())
        if n > 1:
            information = sum(c * math.log((c / n) / (sizes[v] / len(labels))) for v, c in counts.items())
            weights[word] = max(0.0, information - 1.0)
    return weights


# Failed runs that one reader sees, and successes next to them.
_RUNS_EACH, _SUCCESSES_EACH = 10, 6
# Labelled rows that one reader draws; its prompt has room for about a hundred.
_ROWS_EACH = 2000
# Characters of a rule.
_MAX_RULE = 400


def rule_asks(
    problem: Problem,
    path: str,
    instructions: str,
    outcomes: Sequence[Outcome],
    *,
    n: int,
    rollout: int,
    rng: random.Random,
    doubtful: Container[int] = (),
) -> list[Propose]:
    """Return `n` asks for rules for a step, from its instructions, runs (or none) and rows less the doubtful. Calls: `n`."""
    solved = [o for o in outcomes if o.score >= 1 and o.error is None]
    shares = _shares(failure_groups(problem, outcomes), n)
    asks = []
    for i in range(n):
        near = _nearest(problem, shares[i], solved)
        drawn = rng.sample(problem.train, min(_ROWS_EACH, len(problem.train)))
        rows = [row for row in drawn if row not in doubtful]
        labelled = labelled_rows(problem, rows)
        labelled += labelled_rows(
            problem, rows[len(labelled) :]
        )  # two prompts' worth: rare things must be seen
        inputs = {
            **step_values(problem, path),
            "current_instructions": instructions,
            "failed_runs": [run_values(problem, o) for o in shares[i]],
            "similar_successes": [run_values(problem, o) for o in near],
            "labelled_examples": labelled,
        }
        asks.append(Propose(WriteRules, inputs, rollout=rollout + i, label=f"rules for {path}"))
    return asks


def failure_groups(problem: Problem, outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the outcomes below 1 by what went wrong, the largest group first."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.score < 1 or outcome.error is not None:
            groups.setdefault(_failure_title(problem, outcome), []).append(outcome)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def _failure_title(problem: Problem, outcome: Outcome) -> str:
    """Return the fields that are wrong in a few words, and for short labels what was confused with what."""
    if outcome.error is not None:
        return "no answer could be read"
    row = problem.rows[outcome.row]
    parts = []
    for name in problem.output_fields:
        wanted, got = str(row.get(name, "")), str(outcome.prediction.get(name, ""))
        if name in row and wanted != got:
            short = len(wanted) <= 30 and len(got) <= 30 and not re.search(r"\d", wanted)
            parts.append(f"{name} {got!r} instead of {wanted!r}" if short else f"{name} wrong")
    return ", ".join(parts) or "a low score"


def _shares(groups: Mapping[str, Sequence[Outcome]], n: int) -> list[list[Outcome]]:
    """Deal the groups out so that a reader sees whole groups, and every failure is seen where there is room."""
    shares: list[list[Outcome]] = [[] for _ in range(n)]
    for group in groups.values():
        fewest = min(shares, key=len)
        for outcome in group:
            target = fewest if len(fewest) < _RUNS_EACH else min(shares, key=len)
            if len(target) < _RUNS_EACH:
                target.append(outcome)
    return shares


def _nearest(problem: Problem, failed: Sequence[Outcome], solved: Sequence[Outcome]) -> list[Outcome]:
    """Return the successes most like the failures, each once."""
    words = {o.row: row_words(problem, o.row) for o in (*failed, *solved)}
    near: dict[int, Outcome] = {}
    for outcome in failed:
        if not solved or len(near) >= _SUCCESSES_EACH:
            break
        best = max(solved, key=lambda s: len(words[outcome.row] & words[s.row]) / (1 + len(words[s.row])))
        near[best.row] = best
    return list(near.values())


def rules_of(proposals: Sequence[Proposal]) -> list[list[str]]:
    """Return each proposal's rules: a line each, marks off; a single line is taken apart at its sentences."""
    readings = []
    for proposal in proposals:
        for output in proposal.outputs:
            text = str(output.get("rules") or "")[:16_000].strip().strip("`").strip()
            lines = [line for line in text.splitlines() if line.strip()]
            if len(lines) == 1:
                lines = re.split(r"(?<=[.!?])\s+(?=[A-Z])", lines[0])
            rules = [re.sub(r"^\s*(?:[-*•]|\d+[.)])\s*", "", line).strip()[:_MAX_RULE] for line in lines]
            readings.append([r for r in rules if len(r) > 8][:_MOST_RULES])
    return readings


class WriteRules(Signature):
    """
    A language model runs one step of a program under the current instructions. You see labelled rows of the
    program's data and, where there are any, runs that went wrong with similar runs that went right.
    Write the rules that are missing: what separates the right outputs from the wrong ones, stated so that each
    rule stands alone and holds for rows that are not shown. Name the words or features that give a value away,
    and the exact value. Correct a current rule that rows speak against by writing it anew. Write only what at
    least one row shows, and nothing about the answer's layout.
    """

    program_description: str = InputField(desc="The steps of the program.")
    step: str = InputField(desc="The step whose rules are wanted: its fields and what they mean.")
    current_instructions: str = InputField(desc="The instructions in use now.")
    failed_runs: list[JsonObject] = InputField(
        desc="Runs that went wrong: inputs, what the steps wrote, right outputs, what was answered and said about it."
    )
    similar_successes: list[JsonObject] = InputField(desc="Runs that are like them and went right.")
    labelled_examples: list[JsonObject] = InputField(desc="Rows of the data with their right outputs.")
    rules: str = OutputField(desc="New and corrected rules, one a line.")
