"""What the model should do: steps, instruction, fields, way of answering, and the prompt that they make."""

import streamlit as st

from dashboard import data
from dashboard.components.guard import watch
from dashboard.components.task.field_editor import field_editor
from dashboard.components.task.prompt_preview import prompt_preview
from dashboard.components.task.step_bar import step_bar
from dashboard.components.task.step_rules import step_rules
from dashboard.components.task.task_form import instruction_form, task_problems
from dashboard.components.wizard import wizard_header
from engine.pipeline.spec import PipelineSpec

now = wizard_header("task")
if now is not None:
    watch(now, "task")
    pipeline = now.draft.pipeline or PipelineSpec()
    task_problems(pipeline)
    at = step_bar(now.id, pipeline)
    form, preview = st.columns([8, 5], gap="medium")
    with form:
        instruction_form(now.id, pipeline.steps[at], at)
        field_editor(now.id, pipeline, at, "inputs")
        field_editor(now.id, pipeline, at, "outputs")
        step_rules(now.id, pipeline, at)
    with preview:
        prompt_preview(pipeline, data.first_row(now.draft), adapter=now.draft.adapter, at=at)
