"""Records of tuned models in the data folder."""

import pytest

from engine.errors import ConfigurationError, UnknownNameError
from engine.lm.tuned import TunedModel, get_tuned, model_folder, save_tuned, tuned_models

pytestmark = pytest.mark.usefixtures("home")


def test_a_record_is_read_back_and_listed_the_newest_first():
    old = TunedModel(name="one", trainer="local", base_model="tiny", created="2026-01-01")
    new = TunedModel(name="two", trainer="openai", base_model="gpt", kind="hosted", created="2026-02-01")
    for model in (old, new):
        save_tuned(model)
    assert get_tuned("tuned/one") == get_tuned("tuned/one@12") == old
    assert tuned_models() == [new, old]


def test_an_unknown_name_lists_the_known_ones_and_a_path_is_refused():
    save_tuned(TunedModel(name="one", trainer="local", base_model="tiny"))
    with pytest.raises(UnknownNameError, match="tuned/one"):
        get_tuned("tuned/ones")
    with pytest.raises(ConfigurationError, match="no name of a tuned model"):
        model_folder("tuned/../../etc")


def test_a_damaged_record_is_left_out(tmp_path):
    (tmp_path / "models" / "broken").mkdir(parents=True)
    (tmp_path / "models" / "broken" / "model.json").write_text("{")
    assert tuned_models() == []
