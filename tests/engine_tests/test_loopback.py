"""Tests reach nothing but this machine, nor do the processes that they start."""

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from engine.errors import UnreachableError
from engine.lm.client import LM

ELSEWHERE = "192.0.2.1"
"""An address for documentation, where nothing is."""


def test_nothing_is_sent_elsewhere():
    with pytest.raises(OSError, match="only loopback"):
        socket.create_connection((ELSEWHERE, 9), 1)
    with pytest.raises(OSError, match="only loopback"), socket.socket(type=socket.SOCK_DGRAM) as one:
        one.sendto(b"x", (ELSEWHERE, 9))
    with pytest.raises(OSError, match="only loopback"):
        socket.getaddrinfo("elsewhere.example", 80)


def test_no_model_is_asked_elsewhere():
    lm = LM("openai/any", api_base=f"http://{ELSEWHERE}:9/v1", cache=False, num_retries=0, timeout=5)
    with pytest.raises(UnreachableError, match="Cannot reach"):
        asyncio.run(lm.complete(lm.request(({"role": "user", "content": "hello"},))))


def test_neither_do_the_processes_of_tests():
    code = f"import socket; socket.create_connection(({ELSEWHERE!r}, 9), 1)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "only loopback" in child.stderr
    assert os.environ["AWS_EC2_METADATA_DISABLED"] == "true"
