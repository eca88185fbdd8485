"""Everything the golden files reach for below the public names: a move in the engine is followed here only."""

from dashboard.state.editing.drafts import import_project
from engine.cli.app import app as command_line
from engine.export.formats import export_forms
from engine.export.program import program_file
from engine.lm.base import Choice, Reply
from engine.lm.choice import PROVIDERS
from engine.loop import run
from engine.pipeline.build import build_program
from engine.pipeline.templates import SAMPLES
from engine.registry import ADAPTERS, MODULES, OPTIMIZERS, name_of
from engine.runs.spec import sample_bytes
from engine.search.contract import Keep, Propose, Score, Train, Training, relay
from engine.search.driver import Driver
from engine.signature.prediction import Prediction
from engine.store.store import FILE_NAME, Store
from engine.testing import ScriptedLM
from engine.testing.contract import toy_settings

__all__ = [
    "ADAPTERS",
    "FILE_NAME",
    "MODULES",
    "OPTIMIZERS",
    "PROVIDERS",
    "SAMPLES",
    "Choice",
    "Driver",
    "Keep",
    "Prediction",
    "Propose",
    "Reply",
    "Score",
    "ScriptedLM",
    "Store",
    "Train",
    "Training",
    "build_program",
    "command_line",
    "export_forms",
    "import_project",
    "name_of",
    "program_file",
    "relay",
    "run",
    "sample_bytes",
    "toy_settings",
]
