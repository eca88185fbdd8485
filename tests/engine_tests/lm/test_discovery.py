"""Models found on this machine, asked of real servers; nothing else is asked."""

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.servers.openai_server import OpenAIServer

from engine.lm.connection import local_servers, providers_with_key

VARIABLES = ("OLLAMA_API_BASE", "LM_STUDIO_API_BASE", "HOSTED_VLLM_API_BASE")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1")


def test_a_running_server_lists_its_models(monkeypatch):
    with OpenAIServer(models=("llama3.2", "qwen3:8b")) as server:
        monkeypatch.setenv("OLLAMA_API_BASE", server.url)
        (found,) = local_servers()
    assert found.models == ("ollama/llama3.2", "ollama/qwen3:8b")
    assert found.address == server.url


def test_nothing_runs_nothing_is_found():
    assert local_servers() == []


@pytest.mark.parametrize(
    ("status", "body", "wait"),
    [
        (200, b"<!DOCTYPE html>", 0.0),
        (200, b'{"data": "none"}', 0.0),
        (200, b'{"data": [{"id": 1}', 0.0),
        (500, b"{}", 0.0),
        (302, b"", 0.0),
        (200, b'{"data": [{"id": "late"}]}', 60.0),
    ],
)
def test_what_is_no_model_server_is_left_out(monkeypatch, status, body, wait):
    asked = threading.Event()

    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.wait(wait)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Location", "http://10.255.255.1/v1/models")
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LM_STUDIO_API_BASE", f"http://127.0.0.1:{server.server_port}/v1")
    started = time.monotonic()
    # What answers at once has time to be refused for what it says; what does not is not waited for.
    assert local_servers(wait=0.4 if wait else 30) == []
    assert time.monotonic() - started < 50
    asked.set()
    server.shutdown()
    server.server_close()


def test_another_machine_is_never_asked(monkeypatch):
    monkeypatch.setenv("OLLAMA_API_BASE", "http://10.255.255.1/v1")
    started = time.monotonic()
    assert local_servers(wait=300) == []
    assert time.monotonic() - started < 200


def test_a_key_in_the_environment_is_noticed_and_not_shown(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "sk-secret-value")
    found = providers_with_key()
    assert "groq" in [p.prefix for p in found]
    assert "sk-secret-value" not in repr(found)
