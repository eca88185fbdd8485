"""Records that tests of several packages read: one that holds itself, and one with a union."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
