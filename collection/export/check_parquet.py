"""Whether the Parquet files of a folder say what its JSON lines say."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collection.export import parquet
from collection.export.codebook import Codebook
from collection.export.columns import Table
from collection.export.lines import Deviation, File, Problem, note

if TYPE_CHECKING:
    import pyarrow as pa


def check(folder: Path, files: dict[str, File | None], book: Codebook) -> Iterator[Deviation]:
    """Call it where the JSON lines are right: they are what these are compared with."""
    for name, file in files.items():
        path = folder / parquet.FOLDER / f"{name}.parquet"
        if file is None or not path.is_file():
            continue
        own = File(path, path.relative_to(folder).as_posix())
        if find_spec("pyarrow") is None:
            yield from own.at(0, [note("parquet", "not compared: pyarrow is not installed")])
        else:
            yield from own.at(0, problems(path, file.path, book.tables[name], book))


def problems(path: Path, source: Path, table: Table, book: Codebook) -> Iterator[Problem]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from table_problems(file, source, table, book)
    except (OSError, pa.ArrowException) as error:
        yield Problem("parquet", f"cannot be read: {' '.join(str(error).split())}")


def table_problems(file: Any, source: Path, table: Table, book: Codebook) -> Iterator[Problem]:
    orders = [
        columns
        for order in ("codebook", "github")
        if parquet.schema_of(columns := parquet.in_order(table, order), book).equals(
            file.schema_arrow
        )
    ]
    if not orders:
        yield Problem("parquet", "the columns or their types are not those of the codebook")
        return
    found = Reader(file)
    first = 0
    for batch in parquet.batches(source):
        expected = parquet.as_table(batch, orders[0], book)
        if not found.take(len(batch)).equals(expected):
            rows = f"{first + 1} to {first + len(batch)}"
            yield Problem("parquet", f"lines {rows} of {source.name} are not the same here")
            return
        first += len(batch)
    if file.metadata.num_rows != first:
        yield Problem("parquet", f"has {file.metadata.num_rows} rows, {source.name} has {first}")


class Reader:
    """Rows of a Parquet file in pieces of any size, whatever its row groups."""

    def __init__(self, file: Any) -> None:
        self.groups = file.iter_batches(batch_size=parquet.ROWS_AT_ONCE)
        self.rest: pa.Table = file.schema_arrow.empty_table()

    def take(self, number: int) -> "pa.Table":
        import pyarrow as pa

        while self.rest.num_rows < number and (batch := next(self.groups, None)) is not None:
            self.rest = pa.concat_tables([self.rest, pa.Table.from_batches([batch])])
        taken, self.rest = self.rest.slice(0, number), self.rest.slice(number)
        return taken
