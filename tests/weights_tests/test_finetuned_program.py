"""BootstrapFinetune with a real training: a program of two steps rises from chance on rows that it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.training import tiny_model

import engine
from engine.lm.tuned import get_tuned, tuned_models
from engine.testing import ScriptedLM

TONE = "message -> tone: Literal['billing', 'shipping', 'access', 'sales']"


class TwoSteps(engine.Module):
    """Two steps that look at the same message."""

    def __init__(self) -> None:
        super().__init__()
        self.team = engine.Predict(tiny_model.TASK)
        self.tone = engine.Predict(TONE)

    async def aforward(self, message: str) -> engine.Prediction:
        team = await self.team.acall(message=message)
        tone = await self.tone.acall(message=message)
        return engine.Prediction(team=team.team, tone=tone.tone)


def right_answer(request: object) -> dict[str, str]:
    asked = str(request.messages[-1]["content"])
    team = next(team for team, words in tiny_model.WORDS.items() if any(word in asked for word in words))
    return {"tone" if "## tone ##" in asked else "team": team}


def examples(count: int, seed: int) -> list[engine.Example]:
    return [
        engine.Example(**row, tone=row["team"]).with_inputs("message")
        for row in tiny_model.team_rows(count, seed)
    ]


def test_a_program_of_two_steps_rises_from_chance_by_one_training(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = engine.LM(f"local/{tiny_base}", cache=False, max_tokens=32)
    engine.configure(lm=base)
    metric = engine.ExactMatch()
    tuner = engine.BootstrapFinetune(
        metric,
        base_model=str(tiny_base),
        teacher_settings={"lm": ScriptedLM(right_answer)},
        epochs=6,
        learning_rate=5e-3,
        checkpoints=1,
    )
    program = tuner.compile(TwoSteps(), trainset=examples(48, 3), valset=examples(16, 4))
    judge = engine.Evaluate(devset=examples(32, 99), metric=metric, display_progress=False)
    before, after = judge(TwoSteps()).score, judge(program).score
    (record,) = tuned_models()
    assert (record.finished, record.rows) == (True, 96)
    assert {step.weights for _, step in program.named_predictors()} == {f"tuned/{record.name}"}
    assert get_tuned(record.name).base_model == str(tiny_base)
    assert before <= 60
    assert after >= 80
