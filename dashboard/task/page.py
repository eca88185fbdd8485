"""The task page: steps, instruction, fields, way of answering, and the prompt that they make."""

import streamlit as st

from dashboard.components.tab_conflict import watch
from dashboard.components.wizard import wizard_header
from dashboard.services import PipelineSpec
from dashboard.state import reading
from dashboard.task.field_editor import field_editor
from dashboard.task.step_rules import step_rules
from dashboard.task.steps import step_bar
from dashboard.task.task_form import instruction_form, prompt_preview, task_problems

page = wizard_header("task")
if page is not None:
    watch(page, "task")
    pipeline = page.draft.pipeline or PipelineSpec()
    task_problems(pipeline)
    at = step_bar(page.id, pipeline)
    form, preview = st.columns([8, 5], gap="medium")
    with form:
        instruction_form(page.id, pipeline.steps[at], at)
        field_editor(page.id, pipeline, at, "inputs")
        field_editor(page.id, pipeline, at, "outputs")
        step_rules(page.id, pipeline, at)
    with preview:
        prompt_preview(pipeline, reading.first_row(page.draft), adapter=page.draft.adapter, at=at)
