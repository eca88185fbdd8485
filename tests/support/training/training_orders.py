"""Orders of trainings for tests, and a watch that keeps what is reported."""

from __future__ import annotations

from engine.search.trainers import ChatRow, Order, Rollout, TrainerProgress, TrainSettings


class Notes:
    """A watch that keeps what is reported, and is stopped once a step is."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.seen: list[TrainerProgress] = []
        self.scored: list[str] = []

    @property
    def stopped(self) -> bool:
        return self.stop_at is not None and any(p.step >= self.stop_at for p in self.seen)

    def note(self, progress: TrainerProgress) -> None:
        self.seen.append(progress)

    async def score(self, model: str, label: str) -> float | None:
        self.scored.append(model)
        return 0.75

    async def rollouts(self, model: object, rows: object, group_size: int) -> list[Rollout]:
        return []


def chat(question: str, answer: str, step: str = "sort") -> ChatRow:
    messages = ({"role": "system", "content": "Sort."}, {"role": "user", "content": question})
    return ChatRow((*messages, {"role": "assistant", "content": answer}), step)


ROWS = tuple(chat(f"thing number {i}", f"shelf {i % 3}") for i in range(12))


def order(url: str, rows: tuple[ChatRow, ...] = ROWS, run: str = "run-1", **changes: object) -> Order:
    values = {"trainer": "openai", "base_model": "small-base", "base_url": url, "epochs": 2, **changes}
    return Order(TrainSettings.model_validate(values), rows, run=run)
