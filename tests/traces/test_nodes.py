"""Inventories: tables, Slurm's own words, and a few words on the command line."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sublet.core.errors import Invalid
from sublet.traces import Fault, Inventory, NodeGroup, Options, read_nodes, written_nodes

TABLE = """\
trace,node_id,gpu_model,gpus,cpus,mem_gib
x,n1,A100,8,128,1024
x,n2,A100,8,128,1024
x,n3,A10,1,64,256
x,n4,,0,64,256
x,,A10,1,64,256
x,n6,A10,many,64,256
x,n7,A10,65,64,256
x,n8,A10,-1,64,256
x,n9,A10,1.5,64,256
x,n10,A10,,64,256
y,n1,H800,8,128,1024
"""

SINFO = """\
NODELIST|GRES|PARTITION|STATE
gpu-node01|gpu:a100:8(S:0-1)|gpu*|mixed
gpu-node02|gpu:a100:8(S:0-1)|gpu*|allocated
gpu-node02|gpu:a100:8(S:0-1)|large|allocated
gpu-node03|gpu:a100:8(S:0-1)|gpu*|drained*
gpu-node04|gpu:a100:4,gpu:v100:4|odd|down~
cpu-node01|(null)|cpu|idle
a line that sinfo would never print
"""


def written(tmp_path: Path, text: str, options: Options | None = None) -> Inventory:
    file = tmp_path / "nodes"
    file.write_text(text)
    return read_nodes(file, options)


def test_a_table_is_grouped_by_pool_model_and_size(tmp_path: Path) -> None:
    found = written(tmp_path, TABLE, Options(trace="x"))
    assert found.groups == (NodeGroup("A10", "A10", 1, 1), NodeGroup("A100", "A100", 8, 2))
    assert (found.gpus, found.pools, found.capacity("A100"), found.capacity("none")) == (17, ("A10", "A100"), 16, 0)
    assert set(found.faults) == {
        Fault("node_id is empty", 1, (6,)),
        Fault("gpus is no number", 1, (7,)),
        Fault("gpus is above 64", 1, (8,)),
        Fault("gpus is negative", 1, (9,)),
        Fault("gpus is no whole number", 1, (10,)),
        Fault("gpus is empty", 1, (11,)),
    }
    left_out = sum(note.left_out for note in found.notes)
    assert found.rows == 11 == 3 + left_out + sum(fault.rows for fault in found.faults)


def test_the_nodes_of_several_traces_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="holds several traces: x, y") as refusal:
        written(tmp_path, TABLE)
    assert refusal.value.field == "trace"
    assert written(tmp_path, TABLE, Options(trace="y")).groups == (NodeGroup("H800", "H800", 8, 1),)


def test_pools_of_a_table_are_its_own_or_the_models_or_one(tmp_path: Path) -> None:
    text = "node_id,pool,gpu_model,gpus\nn1,train,A100,8\nn2,,A100,8\nn3,serve,A10,1\n"
    assert written(tmp_path, text).pools == ("all", "serve", "train")
    assert written(tmp_path, text, Options(pool="gpu_model")).pools == ("A10", "A100")
    assert written(tmp_path, text, Options(pool="all")).groups == (
        NodeGroup("all", "A10", 1, 1),
        NodeGroup("all", "A100", 8, 2),
    )


@pytest.mark.parametrize(
    "text",
    [
        "node_name,gpu_model,gpu_capacity_num,cpu_num\n0,A100,8,192\n",
        "sn,cpu_milli,memory_mib,gpu,model\nopenb-node-0228,128000,786432,8,A100\n",
        "machine,gpu_type,cap_cpu,cap_mem,cap_gpu\n82e5af3c,A100,96,512,8\n",
        "Host,Type,Cards\nh1,A100,8\n",
    ],
)
def test_node_tables_of_published_traces_and_mapped_ones_are_read(tmp_path: Path, text: str) -> None:
    mapped = Options(columns={"node": "Host", "gpu_model": "Type", "gpus": "Cards"}) if text.startswith("Host") else Options()
    assert written(tmp_path, text, mapped).groups == (NodeGroup("A100", "A100", 8, 1),)


def test_parquet_is_read_like_text(tmp_path: Path) -> None:
    pl.DataFrame({"node_id": ["a", "b"], "gpu_model": ["T4", "T4"], "gpus": [2, 2]}).write_parquet(tmp_path / "n")
    assert read_nodes(tmp_path / "n").groups == (NodeGroup("T4", "T4", 2, 2),)


def test_sinfo_counts_a_node_once_and_says_what_is_down(tmp_path: Path) -> None:
    found = written(tmp_path, SINFO)
    assert found.groups == (NodeGroup("gpu", "a100", 8, 3), NodeGroup("odd", "a100+v100", 8, 1))
    notes = {note.kind: (note.count, note.left_out) for note in found.notes}
    assert notes == {"cpu_only": (1, 1), "merged": (1, 1), "down": (2, 0)}
    assert found.faults == (Fault("has not 4 fields", 1, (8,)),) and found.rows == 7


def test_sinfo_with_blanks_or_without_its_first_line_is_read_too(tmp_path: Path) -> None:
    blanks = "\n".join(" ".join(line.split("|")) for line in SINFO.splitlines()[:-1])
    assert written(tmp_path, blanks).groups == written(tmp_path, SINFO).groups
    bare = "\n".join(SINFO.splitlines()[1:-1])
    assert written(tmp_path, bare).groups == written(tmp_path, SINFO).groups
    turned = "STATE|NODELIST|GRES\nidle|n1|gpu:2\n"
    assert written(tmp_path, turned).groups == (NodeGroup("all", None, 2, 1),)


def group(gres: str, names: list[str], partition: str, state: list[str]) -> dict[str, Any]:
    return {
        "node": {"state": state},
        "nodes": {"total": len(names), "nodes": names},
        "gres": {"total": gres},
        "partition": {"name": partition},
    }


def test_sinfo_as_json_groups_nodes_and_scontrol_lists_them(tmp_path: Path) -> None:
    groups = [
        group("gpu:a100:8(S:0-1)", ["g1", "g2"], "gpu", ["IDLE"]),
        group("gpu:a100:8(S:0-1)", ["g3"], "gpu", ["IDLE", "DRAIN"]),
        group("gpu:a100:8(S:0-1)", ["g1"], "large", ["IDLE"]),
        group("", ["c1"], "cpu", ["IDLE"]),
        {"partition": {"name": "x"}},
    ]
    found = written(tmp_path, json.dumps({"meta": {}, "sinfo": groups}))
    assert found.groups == (NodeGroup("gpu", "a100", 8, 3),)
    assert found.faults == (Fault("is no node: name, gres or partition is missing", 1, (5,)),)
    assert {note.kind: note.count for note in found.notes} == {"cpu_only": 1, "merged": 1, "down": 1}
    nodes = [
        {"name": "g1", "gres": "gpu:a100:8", "state": ["MIXED"], "partitions": ["gpu", "large"]},
        {"name": "g2", "gres": "gpu:tesla:16", "state": "down", "state_flags": ["NOT_RESPONDING"], "partitions": []},
        {"name": "c1", "gres": "", "state": "idle", "partitions": ["cpu"]},
    ]
    old = written(tmp_path, json.dumps({"nodes": nodes}))
    assert old.groups == (NodeGroup("all", "tesla", 16, 1), NodeGroup("gpu", "a100", 8, 1))


def test_a_few_words_are_an_inventory() -> None:
    found = written_nodes(["A100=432x8, H800=219x8", "A10=2494"])
    assert found.groups == (
        NodeGroup("A10", "A10", 1, 2_494),
        NodeGroup("A100", "A100", 8, 432),
        NodeGroup("H800", "H800", 8, 219),
    )
    assert found.gpus == 2_494 + 3_456 + 1_752
    assert [(note.kind, note.count) for note in found.notes] == [("node_size", 2_494)]
    assert written_nodes(["batch:A100=2x8", "batch:A100=3x8"]).groups == (NodeGroup("batch", "A100", 8, 5),)


@pytest.mark.parametrize(
    "wrong", ["A100", "=8", "A100=", "A100=8x", "A100=x8", "A100=-1", "A100=0", "A100=0x8", "A100=2x0", "A100=2x65", "b:=8"]
)
def test_words_that_are_no_inventory_are_refused(wrong: str) -> None:
    with pytest.raises(Invalid) as refusal:
        written_nodes([wrong])
    assert refusal.value.field == "nodes" and refusal.value.hint and repr(wrong) in refusal.value.message


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("node_id,gpus\nn1,0\n", "nodes", r"no node in .* can be used \(1 node without a GPU: left out\)"),
        ("node_id,gpus\nn1,x\n", "nodes", ":2: gpus is no number"),
        ("node_id,gpus\n", "nodes", "it has no rows"),
        ("name,gpus\nn1,8\n", "nodes", "has no column node_id; its columns are: name, gpus"),
        ("NODELIST|GRES|PARTITION|STATE\n", "nodes", "it has no rows"),
        ('{"sinfo": []}', "nodes", "it has no rows"),
        ("", "nodes", "is empty"),
    ],
)
def test_an_inventory_without_a_gpu_is_refused(tmp_path: Path, text: str, field: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as refusal:
        written(tmp_path, text)
    assert refusal.value.field == field and refusal.value.hint


def test_a_packed_list_that_breaks_off_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(
        SINFO.replace("gpu-node01", "n" * 300_000).encode() + bytes(random.Random(0).choices(range(65, 90), k=300_000))
    )
    (tmp_path / "nodes").write_bytes(whole[: len(whole) - 50_000])
    with pytest.raises(Invalid, match="cannot be read as text") as refusal:
        read_nodes(tmp_path / "nodes")
    assert refusal.value.field == "nodes"


def test_blank_lines_are_no_nodes(tmp_path: Path) -> None:
    assert written(tmp_path, SINFO.replace("\n", "\n\n")).groups == written(tmp_path, SINFO).groups


def test_a_mapping_to_no_column_is_refused(tmp_path: Path) -> None:
    for columns, said in (({"colour": "gpus"}, "no column 'colour' to map"), ({"gpus": "Cards"}, "has no column Cards")):
        with pytest.raises(Invalid, match=said) as refusal:
            written(tmp_path, TABLE, Options(columns=columns))
        assert refusal.value.field in {"column", "nodes"}
