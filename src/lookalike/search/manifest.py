"""What ``index.json`` and ``servers.json`` must hold."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from lookalike.documents import Count, Digest, Document, PlainName

KIND = "index"  # of the manifest's mark
Some = Annotated[int, Meta(ge=1, le=2**31)]
TableName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class EnginePart(Document):
    """A spec of `engines.engine_spec`."""

    name: Literal["exact", "hnsw", "ivfpq", "pgvector", "qdrant"]
    server: str = ""
    index: Literal["exact", "hnsw"] = "exact"
    links: Some = 1
    construction: Some = 1
    search: Some = 1
    lists: Some = 1
    parts: Some = 1
    probes: Some = 1
    refine: Some = 1


class FilePart(Document):
    """One file of the generation."""

    bytes: Count
    sha256: Digest


class LossPart(Document):
    """What `storage.storage_loss` measured."""

    recall_at_10: float
    largest_error: float


class ModelPart(Document):
    """The embedder that made the vectors; ``folder``: its copy below ``models/``."""

    sha256: str
    backbone: str
    preprocessing: str
    origin: str | None = None
    teacher: str | None = None
    folder: PlainName | None = None


class SourcePart(Document):
    """What was indexed: enough to read it again."""

    name: str
    of: str
    overrides: list[str]
    split: str | None
    roots: list[str]


class ServerPart(Document):
    """The table that holds the vectors."""

    table: TableName
    columns: dict[str, Literal["number", "text"]]
    norm: float
    stamp: Count


class Manifest(Document):
    """``index.json``."""

    format: int
    generation: Annotated[str, Meta(pattern=r"^[0-9]{6,12}$")]
    files: dict[PlainName, FilePart]
    lookalike: str
    created: str
    changed: str
    count: Count
    next_id: Count
    width: Annotated[int, Meta(ge=1, le=2**20)]
    storage: Literal["float32", "float16", "int8", "binary"]
    storage_loss: LossPart
    engine: EnginePart
    levels: list[str] = field(default_factory=list)
    precision: Literal["float32", "bf16"] = "float32"
    model: ModelPart | UnsetType = UNSET
    source: SourcePart | UnsetType = UNSET
    server: ServerPart | UnsetType = UNSET


class MadeTable(Document):
    """A table that a folder has made in a server: an entry of ``servers.json``."""

    engine: EnginePart
    table: TableName
