"""A program that tuned models answer, taken away: with its weights, or with the model's name at its provider."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from support.results import result_of
from support.run_setup import PIPELINE, add_run
from typer.testing import CliRunner

from engine.cli.app import app
from engine.errors import ProgramFileError
from engine.export.formats import get_export
from engine.export.program import ProgramFile, program_file
from engine.export.weights import LARGEST
from engine.lm.tuned import TunedModel, get_tuned, model_folder, save_tuned
from engine.pipeline.build import build_program
from engine.runs.spec import ModelChoice
from engine.store.store import Store

pytestmark = pytest.mark.usefixtures("home")


def local(name: str = "small-1", base_model: str = "Qwen/small") -> TunedModel:
    model = TunedModel(
        name=name, trainer="local", base_model=base_model, licence="apache-2.0", rows=30, finished=True
    )
    save_tuned(model)
    folder = model_folder(name)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "adapter_config.json").write_text('{"r": 16, "base_model_name_or_path": "Qwen/small"}')
    (folder / "optimizer.pt").write_bytes(b"not to be taken")
    (folder / "checkpoints").mkdir()
    return model


def hosted(name: str = "big-1") -> TunedModel:
    choice = ModelChoice(
        name="openai/ft:small-base:me::1", base_url="http://127.0.0.1:9/v1", key_env="MY_KEY"
    )
    model = TunedModel(
        name=name, kind="hosted", trainer="openai", base_model="small-base", finished=True, hosted=choice
    )
    save_tuned(model)
    return model


def program(weights: str) -> ProgramFile:
    candidate = build_program(PIPELINE).candidate().with_step("sort", weights=weights)
    return program_file(PIPELINE, candidate, model={"name": "openai/large"})


def unzipped(form: str, content: ProgramFile) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(get_export(form).content(content))) as made:
        return {name: made.read(name) for name in made.namelist()}


def test_weights_go_along_with_program_and_script():
    local()
    found = unzipped("weights", program("tuned/small-1"))
    assert found["weights/models/small-1/adapter_model.safetensors"] == b"weights"
    assert json.loads(found["weights/models/small-1/model.json"])["licence"] == "apache-2.0"
    assert not any(name.endswith((".pt", "/")) for name in found)
    assert b"tuned/small-1" in found["program.json"]
    assert b"tuned/small-1" in found["program_tuneboard.py"]
    readme = found["README.md"].decode()
    assert "pip install 'tuneboard[weights]'" in readme
    assert "Licence of the base model: apache-2.0." in readme


def test_the_container_serves_the_weights():
    local()
    found = unzipped("container", program("tuned/small-1"))
    text = found["Dockerfile"].decode()
    assert '.whl[weights]"' in text
    assert "COPY --chown=program weights /home/program/data" in text
    assert b"!weights" in found[".dockerignore"]
    assert "weights/models/small-1/adapter_model.safetensors" in found


def test_a_base_model_in_a_folder_is_mounted_into_the_container():
    local("small-2", base_model="/models/my base")
    found = unzipped("container", program("tuned/small-2"))
    mount = "-v '/models/my base:/models/my base:ro'"
    assert mount in found["Dockerfile"].decode().splitlines()[1]
    assert mount in found["README.md"].decode()
    local("small-3", base_model="/models/x\nRUN evil")
    assert "evil" not in unzipped("container", program("tuned/small-3"))["Dockerfile"].decode()


def test_a_hosted_model_is_named_and_needs_its_key():
    hosted()
    content = program("tuned/big-1")
    found = unzipped("weights", content)
    assert [name for name in found if name.startswith("weights/")] == ["weights/models/big-1/model.json"]
    assert b"ft:small-base:me::1" in found["program_tuneboard.py"]
    docker = unzipped("container", content)["Dockerfile"].decode()
    assert "-e MY_KEY" in docker
    assert '"--key-env", "MY_KEY"' in docker
    assert "[weights]" not in docker
    assert b"ft:small-base:me::1" in unzipped("python", content)["program.json"]
    for form in ("dspy", "openai_request"):
        assert b"ft:small-base:me::1" in get_export(form).content(content)


def test_forms_without_tuneboard_refuse_weights_of_this_machine():
    local()
    content = program("tuned/small-1")
    for form in ("python", "dspy", "openai_request"):
        with pytest.raises(ProgramFileError, match="whose weights are on this machine"):
            get_export(form).content(content)
    assert b"tuned/small-1" in get_export("python_tuneboard").content(content)
    assert "A tuned model answers it: `tuned/small-1`" in get_export("markdown").content(content).decode()


def test_weights_that_are_gone_or_too_large_or_none_are_one_sentence():
    local()
    content = program("tuned/small-1")
    with (model_folder("small-1") / "model.safetensors").open("wb") as file:
        file.truncate(LARGEST)  # a hole: it takes no room on the disk
    with pytest.raises(
        ProgramFileError, match=r"1\.0 GB, too much for a zip. .* --format weights --output FOLDER"
    ):
        get_export("weights").content(content)
    assert "--format container" in get_export("container").too_large(content)
    with pytest.raises(ProgramFileError, match="no weights to take along"):
        get_export("weights").content(program_file(PIPELINE, build_program(PIPELINE).candidate()))
    with pytest.raises(ProgramFileError, match="tuned model that is not here"):
        get_export("container").content(program("tuned/elsewhere"))


def test_the_command_line_writes_weights_as_a_folder(tmp_path):
    local()
    seed = build_program(PIPELINE).candidate()
    tuned = seed.with_step("sort", weights="tuned/small-1").derived("Tuned.", seed)
    run = add_run(tmp_path)
    with Store.open(tmp_path) as store:
        store.trials.add_candidate(run, seed)
        store.trials.add_candidate(run, tuned)
        store.runs.save_result(run, result_of(tuned.id, seed.id))
    with (model_folder("small-1") / "model.safetensors").open("wb") as file:
        file.truncate(LARGEST)
    command = ["export", run, "--home", str(tmp_path), "--format", "weights"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "too much for a zip" in refused.output
    with (model_folder("small-1") / "model.safetensors").open("wb") as file:
        file.truncate(1000)  # a whole gigabyte would be written to the disk
    folder = tmp_path / "taken"
    done = CliRunner().invoke(app, [*command, "--output", str(folder)])
    assert done.exit_code == 0, done.output
    assert (folder / "weights/models/small-1/model.safetensors").stat().st_size == 1000
    assert {one.name for one in folder.iterdir()} == {
        "README.md",
        "program.json",
        "program_tuneboard.py",
        "weights",
    }
    again = CliRunner().invoke(app, [*command, "--output", str(folder)])
    assert "is there already. Name a new or an empty folder." in " ".join(again.output.split())


def test_the_command_line_lists_models_with_their_lineage_and_serves_them(tmp_path):
    listed = CliRunner().invoke(app, ["models", "--home", str(tmp_path)])
    assert "no tuned model yet" in listed.output
    local()
    hosted()
    save_tuned(get_tuned("tuned/small-1").model_copy(update={"run": "abc123"}))
    listed = CliRunner().invoke(app, ["models", "--home", str(tmp_path)]).output
    assert "tuned/small-1 · Qwen/small, lora on 30 rows by local, run abc123, licence apache-2.0" in listed
    shown = CliRunner().invoke(app, ["models", "tuned/small-1", "--home", str(tmp_path)]).output
    assert "vllm serve Qwen/small --enable-lora" in shown
    shown = CliRunner().invoke(app, ["models", "tuned/big-1", "--home", str(tmp_path)]).output
    assert "At its provider it is openai/ft:small-base:me::1." in shown
    wrong = CliRunner().invoke(app, ["models", "tuned/small-2", "--home", str(tmp_path)])
    assert wrong.exit_code == 2
