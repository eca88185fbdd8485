"""The sample projects' files, and a draft of a project made from one.

The files are the package `sample_data`; `engine.pipeline.templates` describes their use.
"""

from __future__ import annotations

from importlib import resources

from engine.errors import DatasetError
from engine.pipeline.templates import Sample
from engine.runs.spec import ProjectDraft


def sample_bytes(file: str) -> bytes:
    """Return a sample file's content. Raises DatasetError when it is not installed.

    >>> sample_bytes("support_tickets.csv")[:7]
    b'message'
    """
    try:
        return resources.files("sample_data").joinpath(file).read_bytes()
    except (FileNotFoundError, ModuleNotFoundError):
        raise DatasetError(f"The sample file {file!r} is missing. Install Tuneboard again.") from None


def sample_draft(sample: Sample, dataset_id: str) -> ProjectDraft:
    """Return the draft of a sample project whose file is stored as `dataset_id`."""
    metric, metric_options = sample.metric
    optimizer, optimizer_options = sample.optimizer
    return ProjectDraft.model_validate(
        {
            "pipeline": sample.pipeline,
            "dataset": dataset_id,
            "mapping": dict(sample.mapping),
            "metric": {"name": metric, "options": dict(metric_options)},
            "optimizer": {"name": optimizer, "options": dict(optimizer_options)},
            "budget": dict(sample.budget),
            "model": {"name": "offline/learner"},
        }
    )
