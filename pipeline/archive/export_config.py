"""What is exported and how; imports neither torch nor LanceDB."""

from typing import Annotated, Literal

from pydantic import Field

from ivr.config import config

Target = Literal["parquet", "faiss", "postgres", "npy", "milvus", "opensearch"]
ItemsFile = Literal["parquet", "csv"]


@config
class ExportConfig:
    """What is exported and how.

    Attributes:
        where: SQL condition on the rows of an archive; without it all rows are exported.
        bbox: Box WEST,SOUTH,EAST,NORTH in degrees; only rows of an archive whose box touches it.
        ivf: Build an inverted index for FAISS, which is faster and may miss hits; without it every
            code is compared.
        items: Form of the table of items beside codes.npy.
        table: Name of the table in PostgreSQL, or of the index in OpenSearch.
        overwrite: Replace an earlier export at the same place.
    """

    where: str | None = None
    bbox: str | None = None
    ivf: bool = False
    items: ItemsFile = "parquet"
    table: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = "items"
    overwrite: bool = False
