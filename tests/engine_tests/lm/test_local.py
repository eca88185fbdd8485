"""Names of models of this machine, and what is said where one cannot answer. No weights are loaded here."""

import pytest

import engine
from engine.errors import ConfigurationError, InvalidRequestError, MissingKeyError, ModelNotFoundError
from engine.lm.choice import ModelChoice, find_route
from engine.lm.client import LM
from engine.lm.exchange import Request
from engine.lm.local.jobs import jobs_of
from engine.lm.local.serving import served_name, serving_command
from engine.lm.local.sources import Source, answering, check_local, find_source, missing_extra
from engine.lm.prices import price
from engine.lm.tuned import TunedModel, model_folder, save_tuned
from engine.runs.spec import check_key

pytestmark = pytest.mark.usefixtures("home")


def _weights(folder, mark=b"one"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(mark)
    return folder


def test_a_name_goes_to_this_machine_and_is_free_unless_an_address_is_given():
    lm = engine.LM("tuned/a1b2")
    assert (lm.route.protocol, lm.price()) == ("local", (0.0, 0.0))
    assert find_route("local/Qwen/Qwen3-0.6B").protocol == "local"
    served = find_route("tuned/a1b2", "http://localhost:8000")
    assert (served.protocol, served.model) == ("openai", "tuned/a1b2")


def test_a_tuned_model_at_a_provider_is_asked_there_with_its_key_and_price(monkeypatch):
    hosted = ModelChoice(name="openai/ft:gpt-4o-mini-2024-07-18:me:sort:a1", key_env="MY_KEY")
    save_tuned(TunedModel(name="far", kind="hosted", trainer="openai", base_model="gpt", hosted=hosted))
    monkeypatch.setenv("MY_KEY", "sk-something")
    lm = LM("tuned/far", temperature=0.5)
    assert (lm.route.protocol, lm.route.model, lm.key_env) == ("openai", hosted.name[7:], "MY_KEY")
    assert lm.price() == (price(hosted.name).input, price(hosted.name).output) != (0.0, 0.0)
    assert LM(**lm.dump_state()).route == lm.copy(temperature=1).route == lm.route
    chosen = answering(ModelChoice(name="tuned/far", max_tokens=9))
    assert chosen == hosted.model_copy(update={"max_tokens": 9})
    check_key(ModelChoice(name="tuned/far"))
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(MissingKeyError, match="MY_KEY"):
        check_key(ModelChoice(name="tuned/far"))


def test_what_is_not_here_is_named_before_a_run_and_in_a_call():
    with pytest.raises(ConfigurationError, match="tuned/gone"):
        check_key(ModelChoice(name="tuned/gone"))
    with pytest.raises(ModelNotFoundError, match="no folder /nowhere"):
        find_source("local//nowhere")
    save_tuned(TunedModel(name="one", trainer="local", base_model="tiny"))
    with pytest.raises(ModelNotFoundError, match="no weights yet"):
        find_source("tuned/one")
    _weights(model_folder("one"))
    assert find_source("tuned/one").base == str(model_folder("one"))
    with pytest.raises(ModelNotFoundError, match="no checkpoint 12"):
        find_source("tuned/one@12")
    with pytest.raises(ModelNotFoundError, match="names no checkpoint"):
        find_source("tuned/one@../..")


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(ModelNotFoundError, match="safetensors"):
        find_source(f"local/{tmp_path}/old")


def test_an_adapter_has_its_base_and_other_weights_have_another_place_in_the_cache(tmp_path):
    folder = _weights(tmp_path / "adapter")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen3-0.6B"}')
    first = find_source(f"local/{folder}")
    assert (first.base, first.adapter) == ("Qwen/Qwen3-0.6B", folder)
    (folder / "model.safetensors").write_bytes(b"two, longer")
    assert find_source(f"local/{folder}").stamp != first.stamp


@pytest.mark.skipif(not missing_extra(), reason="the libraries for weights are installed")
def test_a_missing_extra_is_one_sentence(tmp_path):
    name = f"local/{_weights(tmp_path / 'model')}"
    for ask in (lambda: engine.LM(name)("Hi"), lambda: check_local(ModelChoice(name=name))):
        with pytest.raises(
            ConfigurationError, match=r"^Models of this machine need .*tuneboard\[weights\]'\.$"
        ):
            ask()


@pytest.mark.parametrize(
    "params", [{"temperature": -1}, {"top_p": 0}, {"max_tokens": 0}, {"temperature": "hot"}, {"tools": [{}]}]
)
def test_parameters_that_cannot_be_meant_are_refused(params):
    with pytest.raises(InvalidRequestError, match="does not take"):
        jobs_of(Source("local/m", "m"), Request("local/m", (), params))


def test_commands_of_servers(tmp_path):
    save_tuned(TunedModel(name="one", trainer="local", base_model="Qwen/Qwen3-0.6B"))
    folder = _weights(model_folder("one"))
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Qwen3-0.6B", "r": 24}')
    vllm = f"vllm serve Qwen/Qwen3-0.6B --enable-lora --lora-modules one={folder} --max-lora-rank 32"
    assert serving_command("tuned/one", "vllm") == vllm
    assert f"--lora-paths one={folder}" in serving_command("tuned/one", "sglang")
    assert "'FROM /my models/one' > Modelfile && ollama create one" in serving_command(
        "tuned/one", "ollama", "/my models/one"
    )
    assert served_name("tuned/one", "ollama") == "ollama/one"
    with pytest.raises(ConfigurationError, match=r"no server.*ollama, sglang, vllm"):
        serving_command("tuned/one", "tgi")
