"""The registry: every entry is found by its name, and an unknown name lists those that are."""

import importlib

import pytest

from engine import parts, registry
from engine.errors import UnknownNameError
from engine.export.formats import get_export

TABLES = [
    (registry.get_optimizer, registry.OPTIMIZERS),
    (registry.get_metric, registry.METRICS),
    (registry.get_adapter, registry.ADAPTERS),
]


@pytest.mark.parametrize(("get", "entries"), TABLES)
def test_every_entry_is_found_by_its_name(get, entries):
    assert len({registry.name_of(e) for e in entries}) == len(entries)
    for entry in entries:
        assert get(registry.name_of(entry)) is entry


@pytest.mark.parametrize(("get", "entries"), TABLES)
def test_an_unknown_name_lists_the_valid_ones(get, entries):
    with pytest.raises(UnknownNameError) as error:
        get("nothing")
    for entry in entries:
        assert registry.name_of(entry) in str(error.value)


def test_exports_are_found_by_name():
    with pytest.raises(UnknownNameError, match="json, markdown, messages"):
        get_export("pickle")


def test_an_optimizers_form_has_a_default_for_every_option():
    for optimizer in registry.OPTIMIZERS:
        assert optimizer.options_model.model_json_schema()["properties"] is not None
        optimizer.from_options({})


@pytest.mark.parametrize(
    ("kind", "listed"),
    [
        ("optimizer", parts.OPTIMIZERS),
        ("trainer", parts.TRAINERS),
        ("backend", parts.BACKENDS),
        ("export format", parts.EXPORTS),
        ("form of tasks", parts.TASK_FORMS),
        ("form of logs", parts.LOG_FORMS),
    ],
)
def test_a_part_describes_itself(kind, listed):
    for name, _ in listed:
        part = parts.load(listed, name, kind)
        assert part.name == name
        assert part.title
        assert part.about.endswith(".")
        assert isinstance(parts.missing(part), str)
    with pytest.raises(UnknownNameError, match=listed[0][0]):
        parts.load(listed, "nothing", kind)


def test_transports_are_where_the_registry_says():
    assert all(hasattr(transport, "send") for transport in parts.loaded(parts.TRANSPORTS))


def test_module_paths_of_earlier_guides_lead_to_what_moved():
    contract = importlib.import_module("engine.training.contract")
    assert contract.Trainer is importlib.import_module("engine.search.trainers").Trainer
