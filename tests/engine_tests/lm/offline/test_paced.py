"""The offline model at the pace of a real one: the same answers, later."""

import asyncio
import time

from engine.lm.choice import PACED, is_offline
from engine.lm.offline.learner import LEAST_SECONDS, OfflineLM

MESSAGES = [
    {
        "role": "system",
        "content": "Input:\n1. `text` (str)\nOutput:\n1. `label` (Literal['post', 'login'])\n",
    },
    {"role": "user", "content": "[[ ## text ## ]]\nI forgot my password"},
]


def test_it_answers_as_the_offline_model_and_takes_its_time():
    assert is_offline(PACED)
    paced, quick = OfflineLM(PACED), OfflineLM()
    started = time.monotonic()
    late = asyncio.run(paced.complete(paced.request(MESSAGES)))
    assert time.monotonic() - started >= LEAST_SECONDS
    assert late.text == asyncio.run(quick.complete(quick.request(MESSAGES))).text
