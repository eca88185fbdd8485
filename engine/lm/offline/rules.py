"""Reads an instruction's sentences as rules: any sentence that names an allowed value is evidence for that value.

"Refunds go to retention, unless it is a gift card: then billing." gives two rules and an exception. Lists
("billing: invoices, VAT"), arrows, "otherwise", "even if" and "the first match wins" are understood modestly.
Knows sentences and labels; nothing of prompts or of any task.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from engine.lm.offline.words import COMMON, stem_set, stems, word_stems


@dataclass(frozen=True, slots=True)
class Rule:
    """Evidence for one label.

    Any of the `phrases` (sets of stems) is enough; all of `required` and one of `given` must hold too; any whole phrase of
    `exceptions` switches the rule off. `default` marks the label for everything else.
    """

    label: str
    phrases: tuple[frozenset[str], ...] = ()
    required: frozenset[str] = frozenset()
    given: tuple[frozenset[str], ...] = ()
    exceptions: tuple[frozenset[str], ...] = ()
    weight: float = 1.0
    default: bool = False
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far each label's rules fit a text (0 to about 1.5), with the sentence that fitted best, by label."""

    scores: dict[str, float]
    sentences: dict[str, str]
    default: str | None


def judge(text: str, rules: tuple[Rule, ...]) -> Verdict:
    """Return how far the rules fit a text.

    >>> rules = read_rules("Refunds go to sales unless it is a gift card.", ("sales", "desk"), ())
    >>> judge("I want a refund", rules).scores, judge("refund my gift card", rules).scores
    ({'sales': 1.0}, {'sales': 0.05})
    """
    present = stem_set(text)
    scores: dict[str, float] = {}
    sentences: dict[str, str] = {}
    default = None
    for rule in rules:
        if rule.default:
            default = rule.label
            continue
        fit = _fit(rule, present)
        if fit <= 0:
            continue
        if fit > scores.get(rule.label, 0.0):
            scores[rule.label] = fit
            sentences[rule.label] = rule.sentence
    return Verdict(scores, sentences, default)


def _fit(rule: Rule, present: frozenset[str]) -> float:
    covers = sorted(((_cover(phrase, present), len(phrase)) for phrase in rule.phrases), reverse=True)
    if not covers or covers[0][0] <= 0:
        return 0.0
    cover, size = covers[0]
    # Two words that must stand together say more than one, and several alternatives more than one of them.
    fit: float = cover**1.6 * (1 + 0.15 * (size - 1)) + 0.12 * sum(1 for c, _ in covers[1:4] if c >= 0.99)
    if rule.required:
        fit *= max(_cover(rule.required, present), 0.1)
    if rule.given and not any(phrase <= present for phrase in rule.given):
        fit *= 0.1
    if any(phrase <= present for phrase in rule.exceptions):
        fit *= 0.05
    return fit * rule.weight


def _cover(phrase: frozenset[str], present: frozenset[str]) -> float:
    hit = sum(1 for word in phrase if word in present)
    return hit / len(phrase) if hit else 0.0


@lru_cache(maxsize=1024)
def read_rules(instruction: str, choices: tuple[str, ...], names: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules an instruction holds for these labels.

    `names` are words that carry no evidence: the field names.
    """
    ignored = _META | {s for name in names for s in stems(name.replace("_", " "))}
    labels = _label_pattern(choices)
    found: list[Rule] = []
    heading, titled = None, False
    for sentence in _sentences(instruction):
        if not sentence:
            heading = heading if titled else None
            continue
        rules = _sentence_rules(sentence, labels, ignored)
        named = labels.match(_bare(sentence, labels))
        if (
            not rules
            and not named
            and heading
            and (_POINTS_BACK.match(sentence) or (titled and _BULLET.match(sentence)))
        ):
            phrases, required = _phrases(_bare(sentence, labels), ignored)
            rules = [Rule(heading, phrases, required)] if phrases else []
        if named and not rules:
            heading, titled = _canonical(named[0], choices), True
        elif rules and rules[-1].label != heading:
            heading, titled = _canonical(rules[-1].label, choices), False
        found += [replace(r, label=_canonical(r.label, choices), sentence=sentence) for r in rules]
    return tuple(_ordered(found, bool(_FIRST_WINS.search(instruction))))


def _ordered(found: list[Rule], first_wins: bool) -> Iterable[Rule]:
    """Give earlier rules a little more weight; much more where the instruction says that the first match wins."""
    step = (0.9 if first_wins else 0.12) / max(len(found), 1)
    top = 1.0 + step * len(found) if first_wins else 1.0
    return (
        replace(r, weight=(1.0 if first_wins else r.weight) * (top - step * i)) for i, r in enumerate(found)
    )


def _canonical(text: str, choices: tuple[str, ...]) -> str:
    plain = _plain(text)
    return next((c for c in choices if _plain(c) == plain), text)


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


@lru_cache(maxsize=1024)
def _label_pattern(choices: tuple[str, ...]) -> re.Pattern[str]:
    forms = sorted({_plain(c) for c in choices if _plain(c)}, key=len, reverse=True)
    body = "|".join(r"[\W_]+".join(map(re.escape, form.split())) for form in forms) or r"(?!)"
    return re.compile(rf"(?<![\w]){'(?:' + body + ')'}(?![\w])", re.IGNORECASE)


def whole_lines(text: str) -> list[str]:
    """Return a text's lines, a sentence that was wrapped over several of them put on one.

    >>> whole_lines("Messages that are about parcels, couriers and everything that is\\nsent go to post.\\n- b: x")
    ['Messages that are about parcels, couriers and everything that is sent go to post.', '- b: x']
    """
    lines: list[str] = []
    for line in text.splitlines():
        wrapped = lines and len(lines[-1]) > 55 and lines[-1].rstrip()[-1:] not in tuple(".!?:;")
        if wrapped and line.strip() and not _BULLET.match(line):
            lines[-1] = f"{lines[-1].rstrip()} {line.strip()}"
        else:
            lines.append(line)
    return lines


def _sentences(instruction: str) -> list[str]:
    """Return the sentences in order; "" stands for a blank line."""
    found: list[str] = []
    for line in whole_lines(instruction):
        if not line.strip():
            found.append("")
            continue
        found += [s.strip() for s in re.split(r"(?<=[.!?;])\s+", line.strip()) if s.strip()]
    return found


def _bare(sentence: str, labels: re.Pattern[str]) -> str:
    """Return a sentence without its bullet or number, and without emphasis around words.

    Words that were quoted (and are no label) keep a mark: they count as evidence however common they are.
    """

    def marked(match: re.Match[str]) -> str:
        said = match[1] or match[2]
        return said if labels.search(said) else " ".join(_QUOTED + word for word in said.split())

    sentence = _QUOTE.sub(marked, sentence)
    return re.sub(r"[`\"“”*]|(?<!\w)'|'(?!\w)", "", _BULLET.sub("", sentence)).strip()


def _sentence_rules(sentence: str, labels: re.Pattern[str], ignored: frozenset[str] | set[str]) -> list[Rule]:
    text = _bare(sentence, labels)
    override = bool(_OVERRIDE.search(text))
    text = _EVEN_IF.sub(" ", text)
    pieces = _CLAUSE.split(text)
    rules = _assignments(pieces[0], labels, ignored)
    excepted: tuple[frozenset[str], ...] = () if rules else _phrases(pieces[0], ignored)[0]
    for marker, clause in zip(pieces[1::2], pieces[2::2], strict=False):
        marked = marker.strip(" ,;:.-").casefold()
        inner = _assignments(clause, labels, ignored)
        if marked.startswith("otherwise"):
            rules += [r if r.phrases else _instead(r, rules) for r in inner]
            continue
        if marked.startswith("then") and inner and not inner[0].phrases:
            # "unless a parcel comes up: then X" is about what both clauses say; "if a parcel comes up, then X" too.
            inner = [replace(inner[0], phrases=excepted, given=rules[0].phrases if rules else ())]
        phrases = inner[0].phrases if inner else _phrases(clause, ignored)[0]
        if marked.startswith(("unless", "except", "apart", "but not", "other than")) and phrases:
            whole = tuple(p for p in phrases if p)
            excepted = whole
            rules = [replace(r, exceptions=r.exceptions + whole) for r in rules]
        rules += inner
    kept = []
    for rule in rules:
        if not rule.phrases and not rule.default:
            if not _ELSE.search(text):
                continue
            rule = replace(rule, default=True)
        kept.append(replace(rule, weight=1.25) if override else rule)
    return kept


def _instead(rule: Rule, rules: list[Rule]) -> Rule:
    """Return the rule of an "otherwise": for the same cases where the sentence has a condition, else for all others."""
    if rules and rules[0].required:
        return replace(rule, phrases=rules[0].phrases, weight=0.7)
    return replace(rule, default=True)


def _assignments(text: str, labels: re.Pattern[str], ignored: frozenset[str] | set[str]) -> list[Rule]:
    """Return one rule for each label a clause names; the words beside a label are its evidence."""
    named = [m for m in labels.finditer(text) if not _DENIED.search(text[max(0, m.start() - 22) : m.start()])]
    if not named:
        return []
    first = named[0].start() == 0 or _LEAD.fullmatch(text[: named[0].start()]) is not None
    spans = []
    if len(named) == 1:
        spans = [(named[0][0], f"{text[: named[0].start()]} {text[named[0].end() :]}")]
    elif first:
        ends = [m.start() for m in named[1:]] + [len(text)]
        spans = [(m[0], text[m.end() : end]) for m, end in zip(named, ends, strict=True)]
    else:
        starts = [0] + [m.end() for m in named[:-1]]
        spans = [(m[0], text[start : m.start()]) for m, start in zip(named, starts, strict=True)]
        spans[-1] = (spans[-1][0], f"{spans[-1][1]} {text[named[-1].end() :]}")
    rules = [Rule(label, *_phrases(labels.sub(" ", words), ignored)) for label, words in spans]
    if len(rules) > 2 and sum(1 for r in rules if r.phrases) < len(rules) / 2:
        return []  # a bare list of the allowed values
    return rules


def _phrases(
    text: str, ignored: frozenset[str] | set[str]
) -> tuple[tuple[frozenset[str], ...], frozenset[str]]:
    """Return the alternatives a clause lists, and the words that must hold whichever of them does."""
    conditional = re.match(r"\s*(?:if|when|where)\b", text, re.IGNORECASE) is not None
    required: frozenset[str] = frozenset()
    for tail in _TAIL.finditer(text):
        listed = (
            text[: tail.start()].rstrip().endswith((",", " and", " or"))
        )  # one more alternative, no condition
        if not listed and _content(text[: tail.start()], ignored) and _content(tail[1], ignored):
            required = _content(tail[1], ignored)
            text = text[: tail.start()]
            break
    parts = re.split(_SEPARATOR_IF if conditional else _SEPARATOR, text)
    phrases = [p for p in (_content(part, ignored) for part in parts) if p]
    return tuple(dict.fromkeys(phrases)), required


def _content(text: str, ignored: frozenset[str] | set[str]) -> frozenset[str]:
    if _QUOTED in text:
        quoted = [w.removeprefix(_QUOTED) for w in text.casefold().split() if w.startswith(_QUOTED)]
        return frozenset(s for w in quoted for s in stems(w))
    found = [w for w in stems(text) if w not in ignored]
    kept = frozenset(w for w in found if w not in COMMON)
    return kept or frozenset(w for w in found if w in _TELLING)


_QUOTED = "zzq"
_QUOTE = re.compile(r"(?<!\w)['\"\u201c]([^'\"\u201c\u201d\n]{1,40})['\"\u201d](?!\w)|`([^`\n]{1,40})`")
_CLAUSE = re.compile(
    r"(\W+(?:unless|except(?: when| if| for| that)?|but not|apart from|other than|otherwise|then)\b|^otherwise\b|; |, but\b)",
    re.I,
)
_SEPARATOR = re.compile(r"[,;:/()+]|\bor\b|\band\b|→|->|=>|\u2013|\u2014", re.IGNORECASE)
_SEPARATOR_IF = re.compile(r"[,;:/()]|\bor\b|→|->|=>|\u2013|\u2014", re.IGNORECASE)
_TAIL = re.compile(
    r"\b(?:(?:reported|sent|asked|made|raised|written)? ?\b(?:from|by)|only (?:if|when|for)|if|when) ([^,;:.]*)",
    re.I,
)
_EVEN_IF = re.compile(
    r"[,(]?\s*\b(?:even (?:if|when|though)|regardless of|no matter|whatever)\b[^,;:.)]*[,)]?", re.IGNORECASE
)
_OVERRIDE = re.compile(
    r"\b(even (?:if|when|though)|regardless|no matter|always|whatever|first of all|before anything|precedence|wins over|overrid)",
    re.I,
)
_FIRST_WINS = re.compile(
    r"first (?:rule |one )?(?:that )?(?:match|fit|applies)|in this order|top to bottom|stop at the first",
    re.I,
)
_DENIED = re.compile(
    r"\b(?:not|never|n't|rather than|instead of|no longer|isn't|than)\b[^,.;:]{0,12}$", re.IGNORECASE
)
_ELSE = re.compile(
    r"\b(?:everything|anything|all|any|something) else|\botherwise|\bthe rest\b|\bremaining|\bby default|\bin doubt|\bnone of\b|\bunsure",
    re.I,
)
_BULLET = re.compile(r"^\s*(?:[-*•]|#+|\d+[.)])\s*")
_POINTS_BACK = re.compile(
    r"[-*•\s]*(?:this|these|that|they|it|also|including|includes|for example|e\.g)\b", re.IGNORECASE
)
_LEAD = re.compile(
    r"\W*(?:use|choose|answer|pick|label|say|the|put|write|class|category|value|queue)?(?:\s+(?:label|class|category|value))?\W*",
    re.I,
)

_TELLING = word_stems(
    "down late back off again never new old still always nothing nobody first last thanks thank please"
)
_META = word_stems("""
    message messages text texts mention mentions mentioned mentioning contain contains say says ask asks asking asked
    report reports reported reporting about concern concerns concerning concerned talk talks involve involves describe
    describes word words phrase phrases such like belong belongs label labels class category categories route routed send
    sent classify classified assign assigned answer answers output choose pick use used treat counts count considered
    regarding related relate relates question questions request requests customer customers user users writer people person someone
    anything everything something else otherwise case cases example examples rest remaining otherwise always first rule rules
    also even if whether matter only never handle handles handled goes go put mark marked means mean is are if then instead
    unless except when where want wants wanted get gets include includes including kind kinds type types who whose which that
    cover covers take takes item items thing things sentence sentences clear clearly usually often mostly tend tends appear appears
        e g etc
""")
