"""Speeds of models: measured on calls that were made, stored for later processes, by model and address."""

import subprocess
import sys

import pytest
from support.servers.openai_server import OpenAIServer

from engine import loop
from engine.lm.calls.speeds import Speed, note, speeds
from engine.lm.client import LM
from engine.lm.fallback import FallbackLM


@pytest.fixture(autouse=True)
def earlier_calls_noted(request):
    speeds()  # what earlier tests have noted goes to their folder
    request.getfixturevalue("home")


def model(url: str, name: str = "openai/test-model", **settings: object) -> LM:
    return LM(name, api_base=url, api_key="sk-test", **settings)


def test_only_calls_that_were_made_are_measured_and_each_model_at_each_address_by_itself():
    with OpenAIServer(latency=0.2) as server:
        lm = model(server.url)
        for question in ("one", "two", "one"):
            lm(question)
        assert lm.speed().calls == 2
        assert 0.2 <= lm.speed().seconds / 2 < 2
        assert model(server.url, "openai/other").speed() == Speed()
        assert model(server.url + "/other").speed() == Speed()
        assert model(server.url, temperature=0.5, cache=False).speed() == lm.speed()
        assert FallbackLM([lm]).speed() == lm.speed()


def test_a_failed_call_says_nothing_of_the_speed():
    with OpenAIServer() as server:
        server.fail_with(400)
        lm = model(server.url, num_retries=0)
        with pytest.raises(Exception, match="400"):
            lm("one")
        assert lm.speed() == Speed()


def test_another_process_reads_what_was_measured_also_right_before_this_one_ended(home):
    code = "from engine.lm.calls.speeds import note; note('p', 1.0, 10); note('p', 3.0, 10)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert speeds()["p"].calls == 2
    assert speeds()["p"].seconds_for(10) == pytest.approx(2.0)


def test_nothing_of_an_address_or_a_model_can_be_read_in_the_file(home):
    with OpenAIServer() as server:
        lm = model(server.url)
        loop.run(lm.complete(lm.request(({"role": "user", "content": "Secret?"},))))
        lm.speed()
    text = (home / "speeds.json").read_text()
    assert "127.0.0.1" not in text
    assert "test-model" not in text


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"p": 3}', b'{"p": ["x"]}', b"\xff"])
def test_a_damaged_file_is_written_anew_and_stops_no_call(home, content):
    (home / "speeds.json").write_bytes(content)
    assert speeds() == {}
    note("q", 1.0, 5)
    assert speeds()["q"].calls == 1


def test_a_folder_that_cannot_be_written_stops_no_call(home, monkeypatch):
    (home / "file").write_text("")
    monkeypatch.setenv("TUNEBOARD_HOME", str(home / "file" / "below"))
    note("q", 1.0, 5)
    assert speeds() == {}


def test_many_calls_say_whether_tokens_take_time():
    by_tokens = steady = Speed()
    for tokens in [20] * 200 + [220] * 10:
        by_tokens = by_tokens.with_call(0.5 + tokens / 50, tokens)
        steady = steady.with_call(0.2, tokens)
    assert by_tokens.seconds_for(120) == pytest.approx(2.9, rel=0.05)
    assert steady.seconds_for(220) == pytest.approx(0.2, rel=0.2)


def test_a_call_that_hung_does_not_make_the_model_slow():
    speed = Speed()
    for seconds in [0.5] * 50 + [120.0]:
        speed = speed.with_call(seconds, 20)
    assert speed.seconds_for(20) < 0.6


def test_an_endpoint_that_became_slower_is_known_as_slow_after_a_run():
    speed = Speed()
    for seconds in [0.2] * 2000 + [0.8] * 1000:
        speed = speed.with_call(seconds, 20)
    assert speed.seconds_for(20) > 0.65
