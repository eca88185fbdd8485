"""What the model should do: instruction, fields, strategy, and the prompt that they make."""

import streamlit as st

from dashboard import data
from dashboard.components.field_editor import field_editor
from dashboard.components.prompt_preview import prompt_preview
from dashboard.components.task_form import instruction_form, task_problems
from dashboard.components.wizard import wizard_header
from engine.pipeline.spec import PipelineSpec

now = wizard_header("task")
if now is not None:
    pipeline = now.draft.pipeline or PipelineSpec()
    step = pipeline.steps[0]
    form, preview = st.columns([8, 5], gap="medium")
    with form:
        task_problems(pipeline)
        instruction_form(now.id, step)
        field_editor(now.id, "inputs", step.inputs)
        field_editor(now.id, "outputs", step.outputs)
    with preview:
        prompt_preview(pipeline, data.first_row(now.draft), adapter=now.draft.adapter)
