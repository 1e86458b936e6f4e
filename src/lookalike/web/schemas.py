"""What the API answers."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Hit(BaseModel):
    """An image that was found."""

    id: int
    name: str = Field(description="its path below the indexed folder")
    score: float = Field(description="cosine similarity")
    labels: dict[str, str]


class Answer(BaseModel):
    """The answer to a search, best first."""

    hits: list[Hit]
    seconds: float
    count: int = Field(description="images in the index")


class Item(BaseModel):
    """One item of the index."""

    id: int
    name: str
    labels: dict[str, str]
    columns: dict[str, str] = Field(description="its other columns")


class Stats(BaseModel):
    """What the index is."""

    count: int
    width: int
    engine: str
    storage: str
    backbone: str | None
    levels: list[str]
    labels: dict[str, int] = Field(description="the most frequent labels of the finest level")
    changes: bool
    keeps_marks: bool
    marks: int


class Marked(BaseModel):
    """How many marks there are now."""

    marks: int


class State(BaseModel):
    """A word on the server's state."""

    status: str


class Refusal(BaseModel):
    """Why a request was refused: words, or the fields that are wrong."""

    detail: str | list[dict]
