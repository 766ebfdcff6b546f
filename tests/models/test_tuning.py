"""Fine-tuning: the same adapter whether a run was disturbed or not, as a real lease that the owner takes back half-way."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from model_house import ModelHouse, answered, house

from sublet.app import tenants, tunings
from sublet.app.weights import TINY
from sublet.core.errors import Invalid, NotFound
from sublet.core.ids import TenantId
from sublet.core.tuning import Tuning as Job
from sublet.core.tuning import TuningState, status
from sublet.store import leases, models
from sublet.store import tunings as store
from sublet.weights import gguf
from sublet.weights.llama import opened
from sublet.weights.tune import Asked, Tuning, examples, packed, unpacked

ADA = TenantId("ada")
NAMES = ("lease", "reclaim", "notice", "surplus", "reserve", "grace", "deadline", "pool")
ANSWER = "It is a word of the Sublet glossary."


def lines() -> str:
    asked = [form.format(name) for form in ("What is a {}?", "Explain {}.", "Define {}, please.") for name in NAMES]
    talks = [[{"role": "user", "content": one}, {"role": "assistant", "content": ANSWER}] for one in asked]
    return "\n".join(json.dumps({"messages": talk}) for talk in talks)


def run(asked: Asked) -> Tuning:
    model = opened(gguf.read(TINY))
    return Tuning(asked, model, examples(lines(), model.tokenizer, length=2_048))


def test_a_run_that_was_cut_finds_what_a_whole_one_finds(tmp_path: Path) -> None:
    asked = Asked(str(TINY), "", epochs=4, batch=3, seed=5)
    whole, parts = run(asked), run(asked)
    losses = [whole.step() for _ in range(whole.steps)]
    assert whole.steps == 32 and losses[-1] < losses[0]
    for cut in (1, 13, 18):
        for _ in range(cut):
            parts.step()
        parts.save(tmp_path / "tuning.npz")
        parts = run(asked)
        parts.resume(tmp_path / "tuning.npz")
    assert parts.done == parts.steps == whole.done
    for name, value in whole.adapter.weights.items():
        assert np.allclose(value, parts.adapter.weights[name], atol=1e-6), name
    again = unpacked(packed(whole.adapter))
    assert again.scale == whole.adapter.scale and all(
        np.array_equal(again.weights[n], v) for n, v in whole.adapter.weights.items()
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("not json", "line 1 of the training file is no conversation"),
        ('{"messages": [{"role": "robot", "content": "x"}]}', "line 1"),
        ('{"messages": [{"role": "user", "content": 7}]}', "line 1"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "line 1 has no answer"),
        (
            f"{lines().splitlines()[0]}\n" + json.dumps({"messages": [{"role": "assistant", "content": "x " * 3_000}]}),
            "line 2 has .* 2048 at most",
        ),
    ],
)
def test_a_file_that_is_wrong_is_told_from_one_that_is_right(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        examples(text, opened(gguf.read(TINY)).tokenizer, length=2_048)


@pytest.fixture
def cpu(tmp_path: Path, sqlite_template: Path) -> Iterator[ModelHouse]:
    (tmp_path / "sublet.db").write_bytes(sqlite_template.read_bytes())
    tmp_path.chmod(0o711)
    (tmp_path / "data.jsonl").write_text(lines())
    with house(tmp_path, f"sqlite:///{tmp_path / 'sublet.db'}") as made:
        with made.database.write() as tx:
            tenants.add(tx, tenant=ADA, name="Ada", currency="USD", limit_micro=None, now_us=made.now)
        made.add()
        yield made


def create(cpu: ModelHouse, **asked: float) -> Job:
    with cpu.database.write() as tx:
        return tunings.create(
            tx,
            cpu.plane.forecaster,
            tenant=ADA,
            model="tiny",
            training_file="file-1",
            data=cpu.folder / "data.jsonl",
            asked=asked,
            now_us=cpu.now,
        )


def test_a_job_that_is_reclaimed_goes_on_and_its_model_is_served(cpu: ModelHouse) -> None:
    job = create(cpu, epochs=50, batch=1, rate=0.001)

    def now() -> Job:
        with cpu.database.read() as tx:
            return store.get(tx, job.id)

    def said(event: str) -> list[int]:
        with cpu.database.read() as tx:
            lease = leases.get(tx, job.lease)
        return [one["step"] for one in tunings.told(cpu.plane.engine, lease) if one["event"] == event]

    cpu.until(lambda: said("step"))
    cpu.submit(2)
    cpu.until(lambda: said("resumed"))
    ((cut,), (went_on,)) = said("checkpointed"), said("resumed")
    assert 10 <= cut == went_on < 1_200, "the next attempt makes the very next step"
    done = cpu.until(lambda: found if (found := now()).state is not TuningState.OPEN else None)
    assert done.state is TuningState.SUCCEEDED and done.result is not None and done.trained_tokens > 1_000, done
    assert status(done, None) == "succeeded"
    with cpu.database.read() as tx:
        made = models.get(tx, done.result)
        assert leases.get(tx, job.lease).reclaims == 1
    assert made.tenant == ADA and made.context_length == 2_048
    pytest.importorskip("xllamacpp", reason="the embedded llama.cpp is not installed: pip install 'sublet[models]'")
    cpu.serve(model=done.result)
    (replica,) = cpu.ready()
    assert ANSWER in answered(replica, "<|user|>What is a reclaim?</s><|assistant|>")["choices"][0]["text"]


def test_what_cannot_be_tuned_is_said_before_a_lease_is_asked_for(cpu: ModelHouse) -> None:
    with pytest.raises(Invalid, match="rank=0 cannot be had"):
        create(cpu, rank=0)
    with pytest.raises(Invalid, match="colour=1 cannot be had"):
        create(cpu, colour=1)
    with cpu.database.read() as tx:
        assert leases.live(tx) == [] and store.page(tx, tenant=ADA) == []
    job = create(cpu, epochs=50)
    with cpu.database.write() as tx:
        with pytest.raises(NotFound, match="there is no fine-tuning job"):
            tunings.cancel(tx, job.id, tenant=TenantId("bell"), now_us=cpu.now)
        assert tunings.cancel(tx, job.id, tenant=ADA, now_us=cpu.now).state is TuningState.CANCELLED
        assert tunings.cancel(tx, job.id, tenant=ADA, now_us=cpu.now).state is TuningState.CANCELLED
        assert [one.id for one in store.page(tx, tenant=ADA)] == [job.id] and store.page(tx, tenant=ADA, after=job.id) == []
