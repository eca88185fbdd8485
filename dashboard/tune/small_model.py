"""The recipe "Make a small model do this": its settings as one form, written into the project's ordinary draft."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.components.forms import model_choice, problems
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.tab_conflict import guarded, renew
from dashboard.services import (
    LOCAL_MODELS,
    TRAINERS,
    BootstrapFinetuneOptions,
    Candidate,
    EngineError,
    JsonObject,
    LocalTrainer,
    ModelChoice,
    Named,
    ProjectDraft,
    TeacherPrompt,
    build_program,
    find_base,
    find_route,
    is_local,
    is_offline,
    judges_alone,
    loaded_parts,
    make_metric,
    missing_extra,
    without_password,
)
from dashboard.state import reading, users
from dashboard.state.editing import drafts
from dashboard.state.models import title_of
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown
from dashboard.tune.optimizer import LIMITS

OPTIMIZER = "BootstrapFinetune"
"""The optimizer whose options the recipe sets."""

EXAMPLES = {"local": "Qwen/Qwen3-0.6B, or a folder", "openai": "gpt-4o-mini-2024-07-18", "file": "any name"}
SET = ("trainer", "base_model", "method", "licence", "base_url", "key_env", "unlabelled")
"""The options that the form sets; the others are for experts and stay."""
USUAL = {"trainer": "local", "method": "lora", "unlabelled": True}
METHODS = {"lora": "A small addition (LoRA)", "full": "All of its weights"}


class Recipe(NamedTuple):
    """Values of the form: the options of the optimizer, who teaches with which prompt, who learns, and the limits."""

    options: JsonObject
    teacher: ModelChoice
    prompt: TeacherPrompt | None
    student: ModelChoice | None
    usd: float | None
    minutes: float | None

    def applied(self, draft: ProjectDraft) -> ProjectDraft:
        """Return a draft that is set to the recipe; its other settings stay."""
        given = draft.optimizer.options if draft.optimizer and draft.optimizer.name == OPTIMIZER else {}
        other_options = {name: value for name, value in given.items() if name not in SET}
        seconds = None if self.minutes is None else 60 * self.minutes
        changes: JsonObject = {
            "optimizer": Named(name=OPTIMIZER, options={**other_options, **self.options}),
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
        return ModelChoice(name=base if is_local(base) else f"{LOCAL_MODELS}{base}")
    named = base if base.startswith("openai/") or find_route(base, address or None).provider_name else ""
    plain = named if "/" in named else f"openai/{base}"
    return ModelChoice(name=plain, base_url=address or None, key_env=key_env or None)


def trains(draft: ProjectDraft) -> bool:
    """Return whether a run of the draft trains a small model."""
    return draft.optimizer is not None and draft.optimizer.name == OPTIMIZER


def small_model(page: ProjectPage) -> None:
    """Show the recipe."""
    chosen = trains(page.draft)
    with ui.card("small_model", "Make a small model do this"):
        st.caption(
            "A large model answers your rows. A small one learns from the right answers, and then does the work at a fraction "
            "of the price. At the end it is tested against the large one and against itself before.",
            help=explain("training of a model"),
        )
        recipe, wrong = _form(page)
        applied = chosen and recipe is not None and recipe.applied(page.draft) == page.draft
        with ui.row("small_model_use"):
            if applied:
                st.badge("Chosen", icon=":material/check:", color="green")
                st.caption("What it takes is next to the Start button.")
            elif (
                ui.checked_button(
                    "Use these settings",
                    "This is a read-only look." if read_only() else wrong,
                    key="use_small_model",
                    type="primary",
                    icon="check",
                )
                and recipe is not None
            ):
                _use(page, recipe)


def _form(page: ProjectPage) -> tuple[Recipe | None, str]:
    """Draw the settings; return them, or what is missing."""
    draft = page.draft
    mine = trains(draft)
    given: JsonObject = dict(draft.optimizer.options) if mine and draft.optimizer else {}
    trainer = _trainer(page, given)
    left, right = st.columns(2, gap="medium")
    with left:
        prompt = _teacher_prompt(page, mine=mine)
        teacher = _teacher(page, mine=mine)
        base = st.text_input(
            "Base model",
            str(given.get("base_model", "")),
            key=f"small_base_{page.id}_{trainer}",
            placeholder=EXAMPLES.get(trainer, ""),
            help=explain("base model"),
        ).strip()
        licence = st.text_input(
            "Licence of the base model, as you know it",
            str(given.get("licence", "")),
            key=f"small_licence_{page.id}",
            placeholder="such as apache-2.0",
            help="It is kept with the tuned model and goes along with its export. Whether you may train the model, and on a "
            "teacher's answers, is for you to check.",
        ).strip()
    with right:
        method = "lora"
        if trainer == "local":
            method = ui.select(
                "What is trained?", METHODS, given.get("method", "lora"), key=f"small_method_{page.id}"
            )
        address, variable = _place(page, given) if trainer == "openai" else ("", "")
        unlabelled = _rows_without_answer(page, given)
        usd, minutes = _limits(page)
    if trainer != "file" and not base:
        return None, "Name the base model first."
    options: JsonObject = {
        "trainer": trainer,
        "base_model": base or "any",
        "method": method,
        "licence": licence,
        "unlabelled": unlabelled,
        "base_url": without_password(address),
        "key_env": variable,
    }
    plain = {name: value for name, value in options.items() if value not in ("", USUAL.get(name))}
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


def _limits(page: ProjectPage) -> tuple[float | None, float | None]:
    """Ask for the most dollars and minutes."""
    budget = page.draft.budget
    least_usd, least_minutes = LIMITS["usd"][3], LIMITS["seconds"][3]
    usd = st.number_input(
        "At most, in US dollars",
        least_usd,
        None,
        budget.usd,
        key=f"small_usd_{page.id}",
        placeholder="No limit",
        help="Of the teacher's answers, the training and the tests together.",
    )
    minutes = st.number_input(
        "At most, in minutes",
        least_minutes,
        None,
        None if budget.seconds is None else budget.seconds / 60,
        key=f"small_minutes_{page.id}",
        placeholder="No limit",
        help="When it is used up, the best checkpoint so far is kept and tested.",
    )
    return usd, minutes


def _trainer(page: ProjectPage, given: JsonObject) -> str:
    trainers = {trainer.name: trainer for trainer in loaded_parts(TRAINERS)}
    titles = {name: trainer.title for name, trainer in trainers.items()}
    at = str(given.get("trainer", next(iter(titles))))
    trainer: str = ui.select("Where is it trained?", titles, at, key=f"small_trainer_{page.id}")
    if trainer in trainers:
        st.caption(trainers[trainer].about)
        if advice := missing_extra(trainers[trainer]):
            st.markdown(ui.mark("download", f"{advice} The other ways work without."))
    return trainer


FILTERED = "Of these answers, those that your metric finds good are learned."
UNFILTERED = "Your metric needs the right answer, so all answers to such rows that can be read are learned. A judge as the metric filters them."
PLAIN = ""
"""The choice of no tuned prompt for the teacher."""
MOST = 20


def _teacher_prompt(page: ProjectPage, *, mine: bool) -> TeacherPrompt | None:
    """Let the user choose a larger model, or a program that was tuned already: its prompt, and the model it was tuned with."""
    teacher_prompt = page.draft.teacher_prompt if mine else None
    known = tuned_prompts(page.id, page.draft)
    titles = {
        PLAIN: "A larger model, with the task's prompt",
        **{key: teacher.title for key, teacher in known.items()},
    }
    at = next(
        (
            key
            for key, teacher in known.items()
            if teacher_prompt and teacher.prompt.id == teacher_prompt.prompt.id
        ),
        PLAIN,
    )
    if teacher_prompt is not None and at == PLAIN:  # its run is gone
        at, titles["kept"] = "kept", teacher_prompt.title
    key = f"small_teacher_prompt_{page.id}"
    picked = ui.select(
        "Who teaches?",
        titles,
        at,
        key=key,
        help="A program that was tuned already teaches with its prompt; the model below answers, at first the one it was tuned "
        "with. Programs that a trained model answers are not listed.",
        on_change=ui.callback(_with_its_model, page.id, key),
    )
    return teacher_prompt if teacher_prompt is not None and picked == at else known.get(picked)


def tuned_prompts(project_id: str, draft: ProjectDraft) -> dict[str, TeacherPrompt]:
    """Return what a project's versions and runs have found for the steps that its task has now, by a key, the newest first."""
    try:
        steps = build_program(draft.pipeline).candidate().steps.keys() if draft.pipeline else set()
    except EngineError:
        return {}
    prompts: dict[str, TeacherPrompt] = {}
    for version in reading.versions(project_id)[:MOST]:
        prompt = Candidate.from_dict(version.content["candidate"])
        prompts[f"version {version.number}"] = TeacherPrompt(title=f"Version {version.number}", prompt=prompt)
    for run in [r for r in reading.runs(project_id) if r.result and r.taken][:MOST]:
        with suppress(EngineError):
            if run.taken != run.start:
                title = f"The prompt of “{run.title}”"
                prompts[f"run {run.id}"] = TeacherPrompt(title=title, prompt=reading.prompt(run, run.taken))
    return {k: t for k, t in prompts.items() if t.prompt.steps.keys() == steps and not t.prompt.tuned_models}


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


def _rows_without_answer(page: ProjectPage, given: JsonObject) -> bool:
    """Let the user say whether the teacher also answers rows that have no answer; say what becomes of its answers."""
    wanted = st.toggle(
        "Also rows without an answer",
        bool(given.get("unlabelled", True)),
        key=f"small_unlabelled_{page.id}",
        help="The teacher answers them. They are only learned from: to choose and to test takes rows with an answer.",
    )
    metric = page.draft.metric
    if wanted and metric is not None:
        with suppress(EngineError):
            alone = judges_alone(make_metric(metric, page.draft.model or ModelChoice()))
            st.caption(FILTERED if alone else UNFILTERED)
    return wanted


def _teacher(page: ProjectPage, *, mine: bool) -> ModelChoice:
    """Let the user choose who teaches: at first the project's own model, which its prompt was tuned with."""
    usual = (page.draft.teacher_model if mine else None) or page.draft.model or ModelChoice()
    key = f"small_teacher_{page.id}"
    known = list(dict.fromkeys([*reading.choosable_models(), usual]))
    picked = st.session_state.get(key, usual)
    chosen = picked if isinstance(picked, ModelChoice) else usual
    model_choice("Teacher, the large model", known, chosen, key=key, help=explain("teacher"))
    if is_offline(chosen):
        st.caption(f"{escape_markdown(title_of(chosen))} knows little: choose a large model to learn from.")
    return chosen


def _place(page: ProjectPage, given: JsonObject) -> tuple[str, str]:
    """Ask for a provider's address and the variable of its key, where it is not the usual one."""
    address = st.text_input(
        "Address (only for another provider or server)",
        str(given.get("base_url") or ""),
        key=f"small_address_{page.id}",
        placeholder="https://api.openai.com/v1",
        help="Any server with OpenAI's fine-tuning API.",
    ).strip()
    variable = st.text_input(
        "Variable that holds its key",
        str(given.get("key_env") or ""),
        key=f"small_key_{page.id}",
        placeholder="The provider's usual one",
        help="Only its name is stored, never the key.",
    ).strip()
    return address, variable


def _use(page: ProjectPage, recipe: Recipe) -> None:
    try:
        if not guarded(page.id, recipe.applied, "tuning"):
            return
        student = recipe.student if users.is_administrator() else None
        if student is not None and student not in reading.saved_models():
            drafts.add_model(student)
    except EngineError as error:
        ui.show_error(error)
        return
    st.session_state[f"optimizer_need_{page.id}"] = "weights"
    renew(page.id)  # other widgets of the page show the same settings
    st.rerun()
