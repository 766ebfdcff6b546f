"""Demand over time: three shapes, samples to steps, and gaps in which nothing is known."""

from pathlib import Path

import polars as pl
import pytest
from samples import USAGE

from sublet.core.errors import Invalid
from sublet.core.units import HOUR_US, MINUTE_US, SECOND_US
from sublet.traces import DemandTable, Fault, Gap, Options, read_trace
from sublet.traces.instants import wall_us
from sublet.traces.usage_gaps import gaps_of, step_of


def read(tmp_path: Path, text: str, options: Options | None = None) -> DemandTable:
    file = tmp_path / "usage.csv"
    file.write_text(text)
    table = read_trace(file, options or Options())
    assert isinstance(table, DemandTable)
    return table


def steps(table: DemandTable, pool: str) -> list[tuple[int, int | None, int | None]]:
    return table.frame.filter(pl.col("pool") == pool).select("at_us", "gpus", "capacity").rows()


def test_only_changes_are_kept_and_parts_are_rounded_up(tmp_path: Path) -> None:
    table = read(tmp_path, USAGE)
    assert table.pools == ("a", "b") and table.step_us == MINUTE_US and table.clock == "relative"
    assert (table.from_us, table.until_us) == (0, 300 * MINUTE_US)
    assert steps(table, "b") == [
        (0, 3, 16),
        (100 * MINUTE_US, None, 16),
        (200 * MINUTE_US, 3, 16),
        (250 * MINUTE_US, None, 16),
        (255 * MINUTE_US, 3, 16),
    ]
    assert steps(table, "a")[:3] == [(0, 4, 8), (MINUTE_US, 6, 8), (2 * MINUTE_US, 4, 8)]
    assert table.note("parts") == 98


def test_bad_samples_are_faults_with_their_place(tmp_path: Path) -> None:
    table = read(tmp_path, USAGE)
    assert set(table.faults) == {
        Fault("at_s is no number", 1, (593,)),
        Fault("gpus is empty", 1, (594,)),
        Fault("gpus is negative", 1, (595,)),
        Fault("is another sample of the same instant and pool", 1, (592,)),
    }
    assert table.rows == 594 == 590 + sum(fault.rows for fault in table.faults)


def test_standing_still_in_all_pools_and_missing_steps_are_gaps_and_not_idleness(tmp_path: Path) -> None:
    table = read(tmp_path, USAGE)
    assert table.gaps == (Gap(100 * MINUTE_US, 200 * MINUTE_US), Gap(250 * MINUTE_US, 255 * MINUTE_US))
    (note,) = [note for note in table.notes if note.kind == "gap"]
    assert note.count == 2 and "1.8 h" in note.says
    history = table.history("b")
    assert history.gpus.tolist() == [3, 3, 3], "nothing is 0 because the log was silent"


def samples(*values: tuple[int, float]) -> pl.DataFrame:
    return pl.DataFrame({"at_us": [at * MINUTE_US for at, _ in values], "gpus": [gpus for _, gpus in values]})


@pytest.mark.parametrize(
    ("values", "gaps"),
    [
        ([(n, 0 if 10 <= n < 40 else 1) for n in range(60)], []),  # half an hour is not longer than half an hour
        ([(n, 0 if 10 <= n < 41 else 1) for n in range(60)], [(10, 41)]),
        ([(n, 0 if n < 50 else 1) for n in range(60)], []),  # not busy before
        ([(n, 0 if n >= 10 else 1) for n in range(60)], []),  # not busy after
        ([(n, 1) for n in range(60) if n not in (20, 21)], [(20, 22)]),
        ([(n, 1) for n in range(60) if n != 20], [(20, 21)]),
        ([(n, 0 if 10 <= n < 45 else 1) for n in range(60) if n not in range(40, 50)], [(10, 50)]),  # both at once
        ([(0, 1), (0, 2), (1, 1), (2, 1)], []),
    ],
)
def test_what_is_a_gap_and_what_is_not(values: list[tuple[int, float]], gaps: list[tuple[int, int]]) -> None:
    frame = samples(*values)
    step, notes = step_of(frame["at_us"])
    assert step == MINUTE_US and notes == ()
    assert gaps_of(frame, step) == tuple(Gap(a * MINUTE_US, b * MINUTE_US) for a, b in gaps)


def test_one_pool_at_rest_is_no_gap_while_another_is_busy() -> None:
    frame = pl.concat([samples(*((n, 0 if 10 < n < 50 else 1) for n in range(60))), samples(*((n, 1) for n in range(60)))])
    assert gaps_of(frame, MINUTE_US) == ()


def test_a_log_of_changes_has_no_step_to_miss(tmp_path: Path) -> None:
    at = [0, 1, 5, 9, 30, 31, 60, 200, 201, 500]
    table = read(tmp_path, "at_s,gpus\n" + "".join(f"{60 * minute},{n}\n" for n, minute in enumerate(at)))
    assert (table.step_us, table.gaps, table.note("uneven")) == (None, (), len(at))
    assert steps(table, "all") == [(minute * MINUTE_US, n, None) for n, minute in enumerate(at)]


def test_a_single_sample_has_no_step(tmp_path: Path) -> None:
    table = read(tmp_path, "at_s,gpus\n5,3\n")
    assert (table.step_us, table.gaps, steps(table, "all")) == (None, (), [(5 * SECOND_US, 3, None)])


def test_an_hourly_table_has_a_pool_for_each_model_and_its_totals_are_left_aside(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "hour": [0, 1, 2],
            "jobs_touching_hour": [5, 5, 5],
            "gpus_touching_hour": [11.5, 12.0, 12.0],
            "capacity_gpus": [20, 20, 20],
            "gpus_A10": [1.5, 2.0, 2.0],
            "gpus_H800": [10.0, 10.0, 10.0],
            "gpus_submitted": [1.0, 1.0, 1.0],
        }
    )
    frame.write_parquet(tmp_path / "hourly")
    table = read_trace(tmp_path / "hourly")
    assert isinstance(table, DemandTable)
    assert table.pools == ("A10", "H800") and table.rows == 3 and table.step_us == HOUR_US and table.until_us == 3 * HOUR_US
    assert steps(table, "A10") == [(0, 2, None)] and steps(table, "H800") == [(0, 10, None)]


def test_running_and_waiting_gpus_together_are_the_demand_of_a_virtual_cluster(tmp_path: Path) -> None:
    rows = [(n, vc, 64, 59 + n, 2 * n) for n in range(3) for vc in ("vc1", "vc2")]
    frame = pl.DataFrame(rows, schema=["ts", "org", "total_gpus", "running_gpus", "pending_gpus"], orient="row")
    begin = wall_us("2020-05-01", field="test")
    frame = frame.with_columns((pl.col("ts") * MINUTE_US + begin).cast(pl.Datetime("us")))
    frame.write_parquet(tmp_path / "minutes")
    table = read_trace(tmp_path / "minutes")
    assert isinstance(table, DemandTable)
    assert table.clock == "local" and table.pools == ("vc1", "vc2")
    assert steps(table, "vc1") == [(begin + n * MINUTE_US, 59 + 3 * n, 64) for n in range(3)]


def test_any_columns_are_mapped_and_nodes_become_gpus(tmp_path: Path) -> None:
    text = "ts,active_nodes,total_nodes\n2017-10-03 00:00:00,312,420\n2017-10-03 00:01:00,309,420\n"
    columns = {"at": "ts", "gpus": "active_nodes", "capacity": "total_nodes"}
    table = read(tmp_path, text, Options(columns=columns, units={"gpus": "8", "capacity": "8"}))
    assert [row[1:] for row in steps(table, "all")] == [(2_496, 3_360), (2_472, 3_360)]
    hours = read(tmp_path, "h,n\n1,5\n2,6\n", Options(columns={"at": "h", "gpus": "n"}, units={"at": "h"}))
    assert hours.step_us == HOUR_US and hours.clock == "relative"


def test_pools_may_be_added_up_and_the_clock_be_told_its_origin(tmp_path: Path) -> None:
    text = "at_s,pool,gpus,capacity\n0,a,1,4\n0,b,2,8\n3600,a,3,4\n3600,b,2,8\n7200,a,1,4\n"
    table = read(tmp_path, text, Options(pool="all", origin="2024-03-01", until="2024-03-01T02:00"))
    begin = wall_us("2024-03-01", field="test")
    assert steps(table, "all") == [(begin, 3, 12), (begin + HOUR_US, 5, 12)]
    assert table.clock == "local" and table.note("late") == 1


@pytest.mark.parametrize(
    ("text", "options", "field", "said"),
    [
        ("at_s,gpus\nsoon,1\n", {}, "trace", r"no row of .* can be used .*:2: at_s is no number"),
        ("at_s,gpus\n", {}, "trace", "it has no rows"),
        ("at_s,gpus\n1,1\n", {"columns": {"gpus": "gpus", "submit": "at_s"}}, "trace", "has no column duration_s"),
        ("at_s,gpus\n1,1\n", {"columns": {"at": "at_s", "submit": "at_s"}}, "format", "no format that is known"),
        ("at_s,n\n1,1\n", {"columns": {"gpus": "m"}}, "column", "has no column m"),
        ("at_s,gpus\n1,1\n", {"until": "0"}, "until", "has nothing before 0"),
        ("at_s,gpus\n1,1\n", {"until": "noon"}, "until", "'noon' is no number of seconds"),
        ("at_s,gpus\n1690000000000,1\n", {}, "trace", "at_s is after the year 2286"),
        ("at_s,gpus\n1,10000000\n", {}, "trace", "gpus is above 1,000,000"),
        ("at_s,gpus,capacity\n1,1,-1\n", {}, "trace", "capacity is negative"),
        ("at_s,gpus\n2024-05-01,1\n", {"origin": "2024-05-01"}, "origin", "has dates of its own"),
        ("at_s,gpus\n1,1\n", {"trace": "x"}, "trace", "format usage takes no trace"),
        ("at_s,gpus\n1,1\n", {"gpus_per_worker": True}, "gpus_per_worker", "format usage takes no gpus per worker"),
        ("at_s,gpus\n1,1\n", {"units": {"at": "weeks"}}, "unit", "'weeks' is no unit of time"),
    ],
)
def test_a_log_without_use_is_refused(tmp_path: Path, text: str, options: dict[str, object], field: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as refusal:
        read(tmp_path, text, Options(**options))  # type: ignore[arg-type]
    assert refusal.value.field == field and refusal.value.hint


def test_a_log_lacking_a_column_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("time,gpus\n1,1\n")
    with pytest.raises(Invalid, match="has no column at_s") as refusal:
        read_trace(file, format="usage")
    assert refusal.value.hint and "map others" in refusal.value.hint
