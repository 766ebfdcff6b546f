"""What holds for every format: recognised by its content, the same columns, nothing lost, and refusals that lead on."""

import gzip
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from samples import SAMPLES, TABLE, USAGE, Written

from sublet.core.errors import Invalid
from sublet.traces import DEMAND, FORMATS, JOBS, DemandTable, JobTable, Options, demand_of, read_jobs, read_trace
from sublet.traces.files import sample
from sublet.traces.findings import rows_left_out
from sublet.traces.formats import format_of
from sublet.traces.job_table import NULLABLE
from sublet.traces.statuses import STATUSES

every_format = pytest.mark.parametrize("written", SAMPLES.values(), ids=list(SAMPLES))
of_jobs = pytest.mark.parametrize(
    "written", [one for one in SAMPLES.values() if FORMATS[one.format].kind == "jobs"], ids=lambda one: one.format
)


def read(written: Written, folder: Path) -> JobTable:
    table = read_trace(written.write(folder), written.options)
    assert isinstance(table, JobTable)
    return table


def test_every_format_has_a_sample_and_its_own_name() -> None:
    assert SAMPLES.keys() == FORMATS.keys()
    assert all(name == one.name and one.says for name, one in FORMATS.items())


@every_format
def test_a_file_is_recognised_by_its_content_alone(written: Written, tmp_path: Path) -> None:
    file = written.write(tmp_path)
    packed = tmp_path / "anything.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    plain = file.rename(tmp_path / "anything")
    for path in (plain, packed):
        assert [one.name for one in FORMATS.values() if one.detect(sample(path), written.options)] == [written.format]


@of_jobs
def test_every_reader_gives_the_documented_table(written: Written, tmp_path: Path) -> None:
    table = read(written, tmp_path)
    frame = table.frame
    assert table.format == written.format and len(table) == written.jobs
    assert dict(frame.schema) == JOBS
    assert all(frame[name].null_count() == 0 for name in JOBS if name not in NULLABLE)
    assert frame.select("submit_us", "line").rows() == sorted(frame.select("submit_us", "line").rows())
    assert set(frame["status"].drop_nulls()) <= set(STATUSES)
    assert (frame["gpus"] > 0).all() and (frame["nodes"] > 0).all() and (frame["gpus"] >= frame["nodes"]).all()


@of_jobs
def test_times_are_in_order_and_inside_the_trace(written: Written, tmp_path: Path) -> None:
    table = read(written, tmp_path)
    submit, start, end, run = (table.frame[name] for name in ("submit_us", "start_us", "end_us", "run_us"))
    assert table.from_us < table.until_us
    for earlier, later in ((submit, start), (start, end), (submit, end)):
        assert ((earlier <= later) | earlier.is_null() | later.is_null()).all()
    assert (end.drop_nulls() <= table.until_us).all()
    assert (run.drop_nulls() >= 0).all()
    assert not (table.duration_us < 0).any()


@of_jobs
def test_no_row_is_lost_without_being_counted(written: Written, tmp_path: Path) -> None:
    table = read(written, tmp_path)
    assert table.rows == len(table) + rows_left_out(table.faults, table.notes)
    assert table.faults and table.notes, "the sample has rows of both kinds"
    for fault in table.faults:
        assert 1 <= len(fault.lines) <= min(5, fault.rows) and list(fault.lines) == sorted(fault.lines)
        assert not set(fault.lines) & set(table.frame["line"])


@of_jobs
def test_packed_with_gzip_it_is_the_same_table(written: Written, tmp_path: Path) -> None:
    plain = read(written, tmp_path)
    file = written.write(tmp_path)
    packed = tmp_path / f"{file.name}.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    if written.format == "pai2020":
        file.unlink()
        for other in tmp_path.glob("*.csv"):
            other.with_name(f"{other.name}.gz").write_bytes(gzip.compress(other.read_bytes()))
    again = read_trace(packed, written.options)
    assert isinstance(again, JobTable) and again.frame.equals(plain.frame) and again.faults == plain.faults


@of_jobs
def test_the_pool_can_be_the_model_or_one_for_all(written: Written, tmp_path: Path) -> None:
    file = written.write(tmp_path)
    one = read_jobs(file, Options(pool="all"))
    assert one.pools == ("all",)
    by_model = read_jobs(file, Options(pool="gpu_model"))
    assert set(by_model.pools) == set(by_model.frame["gpu_model"].fill_null("unknown"))
    total = demand_of(one).history("all")
    parts = np.zeros(len(total.at_us), np.int64)
    for pool in by_model.pools:
        part = demand_of(by_model).history(pool)
        parts += part.gpus[np.searchsorted(part.at_us, total.at_us, side="right") - 1]
    assert parts.tolist() == total.gpus.tolist()


@of_jobs
def test_what_lies_after_a_given_end_is_left_out_or_cut(written: Written, tmp_path: Path) -> None:
    whole = read(written, tmp_path)
    middle = int(np.sort(whole.submit_us)[len(whole) // 2]) + 1_000_000
    until = str(middle / 1e6) if whole.clock == "relative" else np.datetime64(middle, "us").astype(str)
    cut = read_jobs(written.write(tmp_path), Options(until=until))
    assert cut.until_us == middle
    assert (cut.submit_us <= middle).all() and (cut.frame["end_us"].drop_nulls() <= middle).all()
    assert cut.rows == len(cut) + rows_left_out(cut.faults, cut.notes)


@every_format
def test_progress_is_told_to_whoever_asks(written: Written, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    read_trace(written.write(tmp_path), Options(progress=lambda what, share: told.append((what, share))))
    assert told[0][1] == 0.0 and told[-1][1] == 1.0
    assert all(what and 0 <= share <= 1 for what, share in told)


@pytest.mark.parametrize("name", ["sacct", "table", "alibaba_spot", "pai2020", "helios", "openb"])
def test_a_file_without_a_usable_row_is_refused_with_its_faults_and_what_was_expected(name: str, tmp_path: Path) -> None:
    written = SAMPLES[name]
    usable = set(read(written, tmp_path).frame["job"])
    lines = written.write(tmp_path).read_text().splitlines()
    broken = tmp_path / "broken"
    broken.write_text("\n".join(line for line in lines if not usable & set(re.split(r"[|,]", line))) + "\n")
    with pytest.raises(Invalid, match=r"no job in .*broken can be used \(.*broken:\d+: ") as refusal:
        read_trace(broken, format=name)
    assert refusal.value.field == "trace"
    assert refusal.value.hint and ("column" in refusal.value.hint or "field" in refusal.value.hint)


def test_an_unknown_file_is_refused_with_its_columns_and_the_list_of_formats(tmp_path: Path) -> None:
    strange = tmp_path / "strange.csv"
    strange.write_text("colour,size\nred,3\n")
    with pytest.raises(Invalid, match="no format that is known; its columns are: colour, size") as refusal:
        read_trace(strange)
    assert refusal.value.field == "format" and refusal.value.hint
    assert all(name in refusal.value.hint for name in FORMATS)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", ["a,b\n1,2\n", '{"a": 1}', "[1]", "x"])
def test_a_file_of_another_format_is_refused_by_each_with_what_it_expects(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / "other"
    file.write_text(text)
    with pytest.raises(Invalid) as refusal:
        read_trace(file, format=name)
    assert refusal.value.field == "trace" and refusal.value.hint and "cannot be read as CSV" not in refusal.value.message


def test_an_ambiguous_file_is_refused_with_the_formats_that_it_could_be(tmp_path: Path) -> None:
    both = tmp_path / "both.csv"
    both.write_text("submit_s,at_s,gpus,duration_s\n1,1,2,3\n2,2,2,3\n")
    with pytest.raises(Invalid, match="looks like several formats: table, usage") as refusal:
        read_trace(both)
    assert refusal.value.field == "format"
    assert isinstance(read_trace(both, format="table"), JobTable)
    assert isinstance(read_trace(both, format="usage"), DemandTable)


def test_a_format_that_is_not_there_and_a_mapping_where_none_is_taken_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "jobs.csv"
    file.write_text(TABLE)
    with pytest.raises(Invalid, match="there is no format 'excel'") as refusal:
        read_trace(file, format="excel")
    assert refusal.value.hint and "sacct" in refusal.value.hint
    with pytest.raises(Invalid, match="format sacct are known: none can be mapped") as refusal:
        read_trace(file, Options(columns={"submit": "submit_s"}), format="sacct")
    assert refusal.value.field == "column" and "table, usage" in str(refusal.value.hint)


def test_a_log_of_demand_is_no_trace_of_jobs(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text(USAGE)
    with pytest.raises(Invalid, match="is a log of demand, not of jobs"):
        read_jobs(file)
    demand = read_trace(file)
    assert isinstance(demand, DemandTable) and dict(demand.frame.schema) == DEMAND


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"PAR1 and then something else", "cannot be read as Parquet"),
        (b"\x1f\x8b and then something else", "cannot be read"),
        (b"PK\x03\x04\x00\x00\x00\x00", "is neither text nor Parquet"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(content)
    with pytest.raises(Invalid, match=said) as refusal:
        read_trace(broken)
    assert refusal.value.field == "trace" and refusal.value.hint


def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no file"):
        read_trace(tmp_path / "nothing")
    with pytest.raises(Invalid, match="is a folder"):
        read_trace(tmp_path)


def test_detection_looks_at_the_beginning_only(tmp_path: Path) -> None:
    long = tmp_path / "long.csv"
    long.write_text("submit_s,duration_s,gpus\n" + "1,2,3\n" * 200_000)
    seen = sample(long)
    assert len(seen.head) < 300_000
    assert format_of(seen).name == "table"
    assert len(read_jobs(long)) == 200_000
    parquet = tmp_path / "long"
    pl.read_csv(long).write_parquet(parquet)
    assert format_of(sample(parquet)).name == "table"
