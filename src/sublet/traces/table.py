"""One job table from a Parquet or CSV file: when each job was submitted, how long it ran, and on how many GPUs.

The columns are `submit_s` (seconds since any instant), `duration_s` (run time in seconds, not the time in the queue) and
`gpus` (in all); others are ignored. A row that cannot be used is left out and counted with its reason, never repaired.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.exceptions import PolarsError

from sublet.core.errors import Invalid
from sublet.core.units import SECOND_US

COLUMNS = ("submit_s", "duration_s", "gpus")
GPUS_MAX = 1_000_000
SECONDS_MAX = 100 * 366 * 86_400  # what a column in milliseconds would pass
EPOCH_MAX_S = 10_000_000_000  # the year 2286
_FORMATS = {".parquet": "Parquet", ".pq": "Parquet", ".csv": "CSV"}
_ROW = "row"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fault:
    """Rows that were left out for one reason. `first` is the place of the first of them, counted as an editor does."""

    reason: str
    rows: int
    first: int


@dataclass(frozen=True, slots=True)
class JobTable:
    """Jobs in order of submission: int64[n] each, instants and durations in µs, GPUs whole (parts of one are rounded up)."""

    submit_us: Ints
    duration_us: Ints
    gpus: Ints
    faults: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        """How many jobs."""
        return len(self.submit_us)


def read_jobs(path: Path) -> JobTable:
    """The job table in a file; raises `Invalid` naming the column, or the first bad row where no row can be used."""
    frame = _numbers(_columns(path), path).with_row_index(_ROW, offset=_first_row(path))
    good, faults = _sorted_out(frame)
    if good.is_empty():
        said = "; ".join(f"{path}:{fault.first}: {fault.reason}" for fault in faults)
        raise Invalid(f"no job in {path} can be used ({said or 'it has no rows'})", field="trace", hint=_expected())
    good = good.sort("submit_s", _ROW)
    return JobTable(
        submit_us=_micro(good["submit_s"]),
        duration_us=_micro(good["duration_s"]),
        gpus=good["gpus"].ceil().cast(pl.Int64).to_numpy(),
        faults=faults,
    )


def _columns(path: Path) -> pl.DataFrame:
    """The three columns as they are in the file; of a CSV file as text, so that a bad cell is found and not guessed."""
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(_FORMATS)
        raise Invalid(f"{path} is neither Parquet nor CSV", field="trace", hint=f"its name must end in one of {known}")
    if not path.is_file():
        raise Invalid(f"there is no file {path}", field="trace", hint="check the path")
    try:
        if kind == "CSV":
            header = pl.read_csv(path, n_rows=0, infer_schema=False).columns
            _check_columns(path, header)
            return pl.read_csv(path, columns=list(COLUMNS), infer_schema=False)
        _check_columns(path, list(pl.read_parquet_schema(path)))
        return pl.read_parquet(path, columns=list(COLUMNS))
    except (PolarsError, OSError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise Invalid(f"{path} cannot be read as {kind}: {first}", field="trace", hint=_expected()) from error


def _check_columns(path: Path, found: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        has = ", ".join(found[:12]) or "none"
        raise Invalid(
            f"{path} has no column {' and no column '.join(missing)}; its columns are: {has}", field="trace", hint=_expected()
        )


def _numbers(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The columns as floats; what is no number becomes null, and is told apart from an empty cell by `<name>_given`."""
    for name in COLUMNS:
        kind = frame.schema[name]
        if not (kind.is_numeric() or kind in {pl.String, pl.Null}):
            said = f"column {name} of {path} holds {kind}, not numbers"
            raise Invalid(said, field="trace", hint=_expected())
    given = [pl.col(name).is_not_null().alias(f"{name}_given") for name in COLUMNS]
    cells = [pl.col(n).str.strip_chars() if frame.schema[n] == pl.String else pl.col(n) for n in COLUMNS]
    return frame.with_columns(given).with_columns(cell.cast(pl.Float64, strict=False) for cell in cells)


def _sorted_out(frame: pl.DataFrame) -> tuple[pl.DataFrame, tuple[Fault, ...]]:
    """The rows that can be used, and the others counted by the first reason that holds."""
    limits = {"submit_s": EPOCH_MAX_S, "duration_s": SECONDS_MAX, "gpus": GPUS_MAX}
    reasons = {f"{name} is empty": ~pl.col(f"{name}_given") for name in COLUMNS}
    reasons |= {f"{name} is no number": pl.col(name).is_null() | ~pl.col(name).is_finite() for name in COLUMNS}
    reasons |= {
        "submit_s is negative": pl.col("submit_s") < 0,
        "duration_s is not above 0": pl.col("duration_s") <= 0,
        "gpus is not above 0": pl.col("gpus") <= 0,
    }
    reasons |= {f"{name} is above {most:,} ": pl.col(name) > most for name, most in limits.items()}
    faults = []
    for reason, is_bad in reasons.items():
        bad = frame.filter(is_bad)
        if len(bad):
            faults.append(Fault(reason, len(bad), int(bad[_ROW][0])))
            frame = frame.filter(~is_bad)
    return frame, tuple(faults)


def _first_row(path: Path) -> int:
    """The place of the first row: line 2 of a CSV file, row 1 of a Parquet file."""
    return 2 if _FORMATS[path.suffix.lower()] == "CSV" else 1


def _micro(seconds: pl.Series) -> Ints:
    micro: Ints = (seconds * SECOND_US).round().cast(pl.Int64).to_numpy()
    return micro


def _expected() -> str:
    return f"a job table has the columns {', '.join(COLUMNS)}: seconds, seconds, GPUs in all"
