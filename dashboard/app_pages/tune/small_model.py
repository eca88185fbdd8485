"""The recipe "Make a small model do this": its settings as one form, written into the project's ordinary draft."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import streamlit as st

from dashboard.app_pages.tune.optimizer import LIMITS
from dashboard.components import ui
from dashboard.components.forms import model_choice, problems
from dashboard.components.guard import guarded, renew
from dashboard.components.page import Current
from dashboard.state import reading, users
from dashboard.state.editing import drafts
from dashboard.state.models import title_of
from dashboard.state.writing import read_only
from dashboard.views.glossary import explain
from dashboard.views.text import escape_markdown
from engine.errors import EngineError
from engine.lm.choice import find_route, is_offline, without_password
from engine.lm.local.sources import LOCAL, is_local
from engine.optimizers.finetune import BootstrapFinetuneOptions, judges_alone
from engine.optimizers.training.local import LocalTrainer, find_base
from engine.parts import TRAINERS, loaded, missing
from engine.pipeline.build import build_program
from engine.records import Candidate
from engine.runs.spec import ModelChoice, Named, ProjectDraft, TeacherPrompt, make_metric

OPTIMIZER = "BootstrapFinetune"
"""The optimizer whose options the recipe sets."""

EXAMPLES = {"local": "Qwen/Qwen3-0.6B, or a folder", "openai": "gpt-4o-mini-2024-07-18", "file": "any name"}
SET = ("trainer", "base_model", "method", "licence", "base_url", "key_env", "unlabelled")
"""The options that the form sets; the others are for experts and stay."""
USUAL = {"trainer": "local", "method": "lora", "unlabelled": True}
METHODS = {"lora": "A small addition (LoRA)", "full": "All of its weights"}


class Recipe(NamedTuple):
    """Values of the form: the options of the optimizer, who teaches with which prompt, who learns, and the limits."""

    options: dict[str, Any]
    teacher: ModelChoice
    prompt: TeacherPrompt | None
    student: ModelChoice | None
    usd: float | None
    minutes: float | None

    def applied(self, draft: ProjectDraft) -> ProjectDraft:
        """Return a draft that is set to the recipe; its other settings stay."""
        given = draft.optimizer.options if draft.optimizer and draft.optimizer.name == OPTIMIZER else {}
        kept = {name: value for name, value in given.items() if name not in SET}
        seconds = None if self.minutes is None else 60 * self.minutes
        changes: dict[str, Any] = {
            "optimizer": Named(name=OPTIMIZER, options={**kept, **self.options}),
            "teacher_model": self.teacher,
            "teacher_prompt": self.prompt,
            "budget": draft.budget.model_copy(update={"calls": None, "usd": self.usd, "seconds": seconds}),
        }
        if self.student is not None:
            changes["model"] = self.student
        return draft.model_copy(update=changes)


def student_of(trainer: str, base: str, address: str, key_env: str) -> ModelChoice | None:
    """Return the base model as a model that answers, for the comparison before tuning; None where nothing is trained.

    >>> student_of("local", "Qwen/Qwen3-0.6B", "", "").name, student_of("openai", "gpt-4o-mini", "", "").name
    ('local/Qwen/Qwen3-0.6B', 'openai/gpt-4o-mini')
    """
    if trainer == "file":
        return None
    if trainer == "local":
        return ModelChoice(name=base if is_local(base) else f"{LOCAL}{base}")
    named = base if base.startswith("openai/") or find_route(base, address or None).provider_name else ""
    plain = named if "/" in named else f"openai/{base}"
    return ModelChoice(name=plain, base_url=address or None, key_env=key_env or None)


def small_model(now: Current) -> None:
    """Show the recipe, folded away until it is used."""
    chosen = now.draft.optimizer is not None and now.draft.optimizer.name == OPTIMIZER
    with st.expander(
        "Make a small model do this", icon=":material/model_training:", expanded=chosen, key="small_model"
    ):
        st.caption(
            "A large model answers your rows. A small one learns from the right answers, and then does the work at a fraction "
            "of the price. At the end it is tested against the large one and against itself before.",
            help=explain("training of a model"),
        )
        recipe, wrong = _form(now)
        applied = chosen and recipe is not None and recipe.applied(now.draft) == now.draft
        with ui.row("small_model_use"):
            if applied:
                st.badge("Chosen", icon=":material/check:", color="green")
                st.caption("What it takes is on the side; start it there.")
            elif (
                ui.press(
                    "Use these settings",
                    "This is a read-only look." if read_only() else wrong,
                    key="use_small_model",
                    type="primary",
                    icon="check",
                )
                and recipe is not None
            ):
                _use(now, recipe)


def _form(now: Current) -> tuple[Recipe | None, str]:
    """Draw the settings; return them, or what is missing."""
    draft = now.draft
    mine = draft.optimizer is not None and draft.optimizer.name == OPTIMIZER
    given: dict[str, Any] = dict(draft.optimizer.options) if mine and draft.optimizer else {}
    trainer = _trainer(now, given)
    left, right = st.columns(2, gap="medium")
    with left:
        prompt = _teacher_prompt(now, mine=mine)
        teacher = _teacher(now, mine=mine)
        base = st.text_input(
            "Base model",
            str(given.get("base_model", "")),
            key=f"small_base_{now.id}_{trainer}",
            placeholder=EXAMPLES.get(trainer, ""),
            help=explain("base model"),
        ).strip()
        licence = st.text_input(
            "Licence of the base model, as you know it",
            str(given.get("licence", "")),
            key=f"small_licence_{now.id}",
            placeholder="such as apache-2.0",
            help="It is kept with the tuned model and goes along with its export. Whether you may train the model, and on a "
            "teacher's answers, is for you to check.",
        ).strip()
    with right:
        method = "lora"
        if trainer == "local":
            method = ui.pick(
                "What is trained?", METHODS, given.get("method", "lora"), key=f"small_method_{now.id}"
            )
        address, variable = _place(now, given) if trainer == "openai" else ("", "")
        unlabelled = _rows_without_answer(now, given)
        usd, minutes = _limits(now)
    if trainer != "file" and not base:
        return None, "Name the base model first."
    options: dict[str, Any] = {
        "trainer": trainer,
        "base_model": base or "any",
        "method": method,
        "licence": licence,
        "unlabelled": unlabelled,
        "base_url": without_password(address),
        "key_env": variable,
    }
    plain = {name: v for name, v in options.items() if v not in ("", None) and v != USUAL.get(name)}
    if wrong := problems(BootstrapFinetuneOptions, plain):
        return None, " ".join(wrong)
    try:
        if trainer == LocalTrainer.name:
            find_base(base)
        student = student_of(trainer, base, address, variable)
        if student is not None:
            find_route(student.name, student.base_url)
    except EngineError as error:
        return None, str(error)
    return Recipe(plain, teacher, prompt, student, usd, minutes), ""


def _limits(now: Current) -> tuple[float | None, float | None]:
    """Ask for the most dollars and minutes."""
    budget = now.draft.budget
    least_usd, least_minutes = LIMITS["usd"][3], LIMITS["seconds"][3]
    usd = st.number_input(
        "At most, in US dollars",
        least_usd,
        None,
        budget.usd,
        key=f"small_usd_{now.id}",
        placeholder="No limit",
        help="Of the teacher's answers, the training and the tests together.",
    )
    minutes = st.number_input(
        "At most, in minutes",
        least_minutes,
        None,
        None if budget.seconds is None else budget.seconds / 60,
        key=f"small_minutes_{now.id}",
        placeholder="No limit",
        help="When it is used up, the best checkpoint so far is kept and tested.",
    )
    return usd, minutes


def _trainer(now: Current, given: dict[str, Any]) -> str:
    trainers = {trainer.name: trainer for trainer in loaded(TRAINERS)}
    titles = {name: trainer.title for name, trainer in trainers.items()}
    at = str(given.get("trainer", next(iter(titles))))
    trainer: str = ui.pick("Where is it trained?", titles, at, key=f"small_trainer_{now.id}")
    if trainer in trainers:
        st.caption(trainers[trainer].about)
        if advice := missing(trainers[trainer]):
            st.markdown(ui.mark("download", f"{advice} The other ways work without."))
    return trainer


FILTERED = "Of these answers, those that your metric finds good are learned."
UNFILTERED = "Your metric needs the right answer, so all answers to such rows that can be read are learned. A judge as the metric filters them."
PLAIN = ""
"""The choice of no tuned prompt for the teacher."""
MOST = 20


def _teacher_prompt(now: Current, *, mine: bool) -> TeacherPrompt | None:
    """Let the user choose a larger model, or a program that was tuned already: its prompt, and the model it was tuned with."""
    kept = now.draft.teacher_prompt if mine else None
    known = tuned_prompts(now.id, now.draft)
    titles = {
        PLAIN: "A larger model, with the task's prompt",
        **{key: one.title for key, one in known.items()},
    }
    at = next((key for key, one in known.items() if kept and one.prompt.id == kept.prompt.id), PLAIN)
    if kept is not None and at == PLAIN:  # its run is gone
        at, titles["kept"] = "kept", kept.title
    key = f"small_teacher_prompt_{now.id}"
    picked = ui.pick(
        "Who teaches?",
        titles,
        at,
        key=key,
        help="A program that was tuned already teaches with its prompt; the model below answers, at first the one it was tuned "
        "with. Programs that a trained model answers are not listed.",
        on_change=ui.callback(_with_its_model, now.id, key),
    )
    return kept if kept is not None and picked == at else known.get(picked)


def tuned_prompts(project_id: str, draft: ProjectDraft) -> dict[str, TeacherPrompt]:
    """Return what a project's versions and runs have found for the steps that its task has now, by a key, the newest first."""
    try:
        steps = build_program(draft.pipeline).candidate().steps.keys() if draft.pipeline else set()
    except EngineError:
        return {}
    found: dict[str, TeacherPrompt] = {}
    for version in reading.versions(project_id)[:MOST]:
        prompt = Candidate.from_dict(version.content["candidate"])
        found[f"version {version.number}"] = TeacherPrompt(title=f"Version {version.number}", prompt=prompt)
    for run in [r for r in reading.runs(project_id) if r.result and r.taken][:MOST]:
        with suppress(EngineError):
            if run.taken != (run.result or {}).get("seed_candidate"):
                title = f"The prompt of “{run.title}”"
                found[f"run {run.id}"] = TeacherPrompt(title=title, prompt=reading.prompt(run, run.taken))
    return {k: t for k, t in found.items() if t.prompt.steps.keys() == steps and not t.prompt.tuned_models}


def _with_its_model(project_id: str, key: str) -> None:
    """Put the model that a chosen program was tuned with into the field below."""
    kind, _, name = str(st.session_state.get(key, "")).partition(" ")
    with suppress(EngineError, ValueError):
        if kind == "run":
            model: ModelChoice | None = reading.run_spec(reading.run(name)).model
        else:
            contents = (v.content for v in reading.versions(project_id) if str(v.number) == name)
            model = next((ModelChoice.model_validate(c["model"]) for c in contents if c.get("model")), None)
        if model is not None:
            st.session_state[f"small_teacher_{project_id}"] = model


def _rows_without_answer(now: Current, given: dict[str, Any]) -> bool:
    """Let the user say whether the teacher also answers rows that have no answer; say what becomes of its answers."""
    wanted = st.toggle(
        "Also rows without an answer",
        bool(given.get("unlabelled", True)),
        key=f"small_unlabelled_{now.id}",
        help="The teacher answers them. They are only learned from: to choose and to test takes rows with an answer.",
    )
    metric = now.draft.metric
    if wanted and metric is not None:
        with suppress(EngineError):
            alone = judges_alone(make_metric(metric, now.draft.model or ModelChoice()))
            st.caption(FILTERED if alone else UNFILTERED)
    return wanted


def _teacher(now: Current, *, mine: bool) -> ModelChoice:
    """Let the user choose who teaches: at first the project's own model, which its prompt was tuned with."""
    usual = (now.draft.teacher_model if mine else None) or now.draft.model or ModelChoice()
    key = f"small_teacher_{now.id}"
    known = list(dict.fromkeys([*reading.choosable_models(), usual]))
    picked = st.session_state.get(key, usual)
    chosen = picked if isinstance(picked, ModelChoice) else usual
    model_choice("Teacher, the large model", known, chosen, key=key, help=explain("teacher"))
    if is_offline(chosen):
        st.caption(f"{escape_markdown(title_of(chosen))} knows little: choose a large model to learn from.")
    return chosen


def _place(now: Current, given: dict[str, Any]) -> tuple[str, str]:
    """Ask for a provider's address and the variable of its key, where it is not the usual one."""
    address = st.text_input(
        "Address (only for another provider or server)",
        str(given.get("base_url") or ""),
        key=f"small_address_{now.id}",
        placeholder="https://api.openai.com/v1",
        help="Any server with OpenAI's fine-tuning API.",
    ).strip()
    variable = st.text_input(
        "Variable that holds its key",
        str(given.get("key_env") or ""),
        key=f"small_key_{now.id}",
        placeholder="The provider's usual one",
        help="Only its name is stored, never the key.",
    ).strip()
    return address, variable


def _use(now: Current, recipe: Recipe) -> None:
    try:
        if not guarded(now.id, recipe.applied, "tuning"):
            return
        student = recipe.student if users.is_administrator() else None
        if student is not None and student not in reading.saved_models():
            drafts.add_model(student)
    except EngineError as error:
        ui.show_error(error)
        return
    st.session_state[f"optimizer_need_{now.id}"] = "weights"
    renew(now.id)  # other widgets of the page show the same settings
    st.rerun()
