"""Fine-tuning: the same adapter whether a run was disturbed or not, as a real lease that the owner takes back half-way."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_house import ModelHouse, house
from model_shop import shop, until
from threadpoolctl import threadpool_limits

from sublet.app import tenants
from sublet.app.weights import TINY
from sublet.core.errors import Invalid
from sublet.core.ids import LeaseId, ModelName, TenantId, TuningId
from sublet.core.residency import Label, Sensitivity
from sublet.core.site import Site
from sublet.core.token_terms import TokenTerms
from sublet.core.tuning import Tuning as Job
from sublet.core.tuning import TuningState, label_of, made_name, status
from sublet.store import leases, ledger, models, sites, token_terms
from sublet.store import tunings as store
from sublet.weights import gguf
from sublet.weights.llama import Llama, opened
from sublet.weights.tune import Asked, Tuning, examples, packed, unpacked

openai = pytest.importorskip("openai")
ADA = TenantId("ada")
NAMES = ("lease", "reclaim", "notice", "surplus", "reserve", "grace", "deadline", "pool")
ANSWER = "It is a word of the Sublet glossary."


def lines() -> str:
    asked = [form.format(name) for form in ("What is a {}?", "Explain {}.", "Define {}, please.") for name in NAMES]
    talks = [[{"role": "user", "content": one}, {"role": "assistant", "content": ANSWER}] for one in asked]
    return "\n".join(json.dumps({"messages": talk}) for talk in talks)


def unlike() -> str:
    """Conversations that are not learnt: of the same words, and asked in another way."""
    talks = [[{"role": "user", "content": f"Tell me of a {name}."}, {"role": "assistant", "content": ANSWER}] for name in NAMES]
    return "\n".join(json.dumps({"messages": talk}) for talk in talks)


def run(asked: Asked) -> Tuning:
    model = opened(gguf.read(TINY))
    said, others = (examples(text, model.tokenizer, length=2_048) for text in (lines(), unlike()))
    return Tuning(asked, model, said, others if asked.validation else ())


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in a run, and because threads that wait for each other by turning cost other tests their processors."""
    with threadpool_limits(1):
        yield


@pytest.mark.usefixtures("one_thread")
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


@pytest.mark.usefixtures("one_thread")
def test_a_run_is_judged_after_each_epoch_by_what_it_does_not_learn(tmp_path: Path) -> None:
    asked = Asked(str(TINY), "", epochs=2, batch=12, validation="some")
    judged, blind = run(asked), run(replace(asked, validation=""))
    losses = [judged.judge() or 0.0]
    due = [judged.to_judge]
    while judged.done < judged.steps:
        judged.step()
        blind.step()
        due.append(judged.to_judge)
        if due[-1]:
            assert judged.judge(lambda: False) is None, "it was told to stop, so it is judged again"
            judged.save(tmp_path / "tuning.npz")
            again = run(asked)
            again.resume(tmp_path / "tuning.npz")
            assert again.to_judge and again.loss == judged.loss
            losses.append(judged.judge() or 0.0)
            assert again.judge() == losses[-1]
    assert due == [False, False, True, False, True] and not blind.to_judge
    assert all(np.array_equal(value, blind.adapter.weights[name]) for name, value in judged.adapter.weights.items())
    assert losses[0] > losses[1] > losses[2] > 0


def test_a_loss_without_gradients_is_the_loss_with_them() -> None:
    model = opened(gguf.read(TINY))
    llama, rng = Llama(model.shape, model.weights), np.random.default_rng(1)
    tokens = rng.integers(3, 500, (3, 9))
    counted = (rng.random((3, 8)) < 0.6).astype(np.float32)
    mean, _ = llama.loss(tokens[:, :-1], tokens[:, 1:], counted)
    assert np.isclose(llama.surprise(tokens[:, :-1], tokens[:, 1:], counted), mean * counted.sum(), rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("not json", "line 1 of the training file is no conversation"),
        ('{"messages": [{"role": "robot", "content": "x"}]}', "line 1"),
        ('{"messages": [{"role": "user", "content": 7}]}', "line 1"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "line 1 has no answer"),
        ('{"messages": [{"role": "assistant", "content": "x", "weight": 0}]}', "line 1 has no answer"),
        (
            f"{lines().splitlines()[0]}\n" + json.dumps({"messages": [{"role": "assistant", "content": "x " * 3_000}]}),
            "line 2 has .* 2048 at most",
        ),
    ],
)
def test_a_file_that_is_wrong_is_told_from_one_that_is_right(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        examples(text, opened(gguf.read(TINY)).tokenizer, length=2_048)


def test_a_job_is_bound_by_its_tenants_word_at_the_sites_of_its_base() -> None:
    stated = Label(("DE",), Sensitivity.CONFIDENTIAL)
    assert label_of(stated, (), ()) == stated
    assert label_of(Label(), ("oslo",), ("oslo",)) == Label(residency=("oslo",))
    assert label_of(stated, ("oslo", "bonn"), ("bonn",)) == Label(("site:bonn",), Sensitivity.CONFIDENTIAL)


def test_names_of_made_models_differ_and_fit() -> None:
    def made(model: str, suffix: str, name: str) -> str:
        return made_name(Job(TuningId(f"ftjob-{name}"), ADA, ModelName(model), None, "file", 0, suffix=suffix))

    assert made("tiny", "", "abc") == "ft-tiny-abc" and made("tiny", "mine", "abc") == "ft-tiny-mine-abc"
    long = [made("m" * 64, "s" * 24, name) for name in ("a" * 12, "b" * 12)]
    assert long[0] != long[1] and all(len(one) == 64 for one in long)
    held = LeaseId("lease-x")
    assert status(Job(TuningId("ftjob-a"), ADA, ModelName("m"), None, "f", 0, TuningState.NEW), None) == "validating_files"
    assert status(Job(TuningId("ftjob-a"), ADA, ModelName("m"), held, "f", 0), None) == "queued"


@pytest.fixture
def cpu(tmp_path: Path, sqlite_template: Path) -> Iterator[ModelHouse]:
    (tmp_path / "sublet.db").write_bytes(sqlite_template.read_bytes())
    tmp_path.chmod(0o711)
    with house(tmp_path, f"sqlite:///{tmp_path / 'sublet.db'}") as made:
        (tmp_path / "data").chmod(0o711)  # as `sublet up` makes it
        with made.database.write() as tx:
            for name in (ADA, TenantId("bell")):
                tenants.add(tx, tenant=name, name=name, currency="USD", limit_micro=None, now_us=made.now)
        made.add()
        yield made


def test_a_job_that_is_reclaimed_goes_on_and_its_model_answers(cpu: ModelHouse) -> None:
    """All of it through the official client, which knows nothing of leases."""
    pytest.importorskip("xllamacpp", reason="the embedded llama.cpp is not installed: pip install 'sublet[models]'")
    cpu.serve(0, 1)
    with shop(cpu) as door:
        client = door.client()
        file = client.files.create(file=("words.jsonl", lines().encode()), purpose="fine-tune")
        kept_back = client.files.create(file=("others.jsonl", unlike().encode()), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model="tiny",
            training_file=file.id,
            validation_file=kept_back.id,
            method={
                "type": "supervised",
                "supervised": {
                    "hyperparameters": {"n_epochs": 50, "batch_size": 1, "learning_rate_multiplier": 0.5},
                },
            },
            suffix="words",
            seed=7,
            metadata={"team": "glossary"},
        )
        assert (job.status, job.model, job.training_file, job.seed) == ("validating_files", "tiny", file.id, 7)
        assert job.hyperparameters.n_epochs == 50 and job.hyperparameters.learning_rate_multiplier == 0.5
        assert job.validation_file == kept_back.id
        assert all(client.files.delete(one.id).deleted for one in (file, kept_back))  # the job has copies of its own

        def told() -> list[Any]:
            return list(client.fine_tuning.jobs.list_events(job.id, limit=100))

        def steps() -> list[int]:
            return [event.data["step"] for event in told() if event.type == "metrics"]

        until(cpu, steps)
        cpu.submit(2)
        ended = {"succeeded", "failed", "cancelled"}
        done = until(cpu, lambda: found if (found := client.fine_tuning.jobs.retrieve(job.id)).status in ended else None)
        assert (done.status, done.error) == ("succeeded", None) and done.trained_tokens > 1_000
        assert done.fine_tuned_model == f"ft-tiny-words-{job.id.removeprefix('ftjob-')}" and done.metadata == job.metadata
        said = [event.message for event in reversed(told())]
        assert said[0].startswith("Created fine-tuning job") and said[-1].endswith(done.fine_tuned_model)
        (cut,) = [one for one in said if one.startswith("The owner needs the machine: saved after step")]
        (went_on,) = [one for one in said if one.startswith("Went on after step")]
        assert cut.split("step ")[1].split(",")[0] == went_on.split("step ")[1], "the next attempt makes the very next step"
        last = assert_judged(told())
        (kept,) = client.fine_tuning.jobs.checkpoints.list(job.id).data
        assert (kept.fine_tuned_model_checkpoint, kept.step_number) == (done.fine_tuned_model, 1_200)
        assert kept.metrics.full_valid_loss == last
        with cpu.database.read() as tx:
            lease = store.get(tx, job.id).lease
            assert lease is not None and leases.get(tx, lease).reclaims == 1
            assert models.get(tx, done.fine_tuned_model).tenant == ADA
        assert not list((cpu.folder / "data" / "tunings").glob("*")), "its copy of the file is gone"
        answer = client.chat.completions.create(
            model=done.fine_tuned_model,
            messages=[{"role": "user", "content": "What is a reclaim?"}],
            temperature=0,
            max_tokens=24,
            service_tier="flex",
        )
        assert ANSWER in answer.choices[0].message.content
        asked: dict[str, Any] = {"model": done.fine_tuned_model, "messages": [{"role": "user", "content": "x"}]}
        with pytest.raises(openai.NotFoundError):
            door.client("bell").chat.completions.create(**asked)
        for name, other in ((done.fine_tuned_model, door.client("bell")), ("tiny", client)):
            with pytest.raises(openai.NotFoundError):
                other.models.delete(name)

        def deleted() -> bool:
            try:
                return bool(client.models.delete(done.fine_tuned_model).deleted)
            except openai.ConflictError:  # its replica ends first
                return False

        until(cpu, deleted)
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**asked)
        assert not list((cpu.folder / "data" / "weights").glob("ft-*"))


def assert_judged(told: list[Any]) -> float:
    """A job of 50 epochs of 24 steps was judged after each; returns its last loss on what it did not learn."""
    judged = [event for event in reversed(told) if event.type == "metrics" and "full_valid_loss" in event.data]
    assert {event.data["step"] for event in judged} == set(range(24, 1_201, 24))
    first, last = (event.data["valid_loss"] for event in (judged[0], judged[-1]))
    assert first > last >= 0 and judged[-1].message.endswith(f"validation loss={last}")
    return float(last)


def test_what_cannot_be_tuned_is_said_in_openais_words(cpu: ModelHouse) -> None:
    with shop(cpu) as door:
        client, stranger = door.client(), door.client("bell")
        jobs = client.fine_tuning.jobs
        with pytest.raises(openai.BadRequestError, match="line 2 of the file is not JSON"):
            client.files.create(file=("x.jsonl", f"{lines().splitlines()[0]}\n{{".encode()), purpose="fine-tune")
        file = client.files.create(file=("x.jsonl", lines().encode()), purpose="fine-tune")
        other = client.files.create(file=("x.jsonl", lines().encode()), purpose="batch")
        long = json.dumps({"messages": [{"role": "assistant", "content": "x " * 3_000}]}).encode()
        too_long = client.files.create(file=("x.jsonl", long), purpose="fine-tune")
        wrong: list[tuple[dict[str, Any], str, str]] = [
            ({"model": "none", "training_file": file.id}, "no model none", "model"),
            ({"model": "tiny", "training_file": "file-none"}, "no file file-none", "file_id"),
            ({"model": "tiny", "training_file": other.id}, "purpose fine-tune", "training_file"),
            ({"model": "tiny", "training_file": too_long.id}, "line 1 has .* 2048 at most", "training_file"),
            ({"model": "tiny", "training_file": file.id, "validation_file": other.id}, "purpose fine-tune", "validation_file"),
            ({"model": "tiny", "training_file": file.id, "validation_file": too_long.id}, "line 1 has", "validation_file"),
            ({"model": "tiny", "training_file": file.id, "validation_file": 7}, "id of a file", "validation_file"),
            ({"model": "tiny", "training_file": file.id, "method": {"type": "dpo"}}, "supervised", "method.type"),
            ({"model": "tiny", "training_file": file.id, "suffix": "a b"}, "suffix", "suffix"),
            ({"model": "tiny", "training_file": file.id, "hyperparameters": {"n_epochs": 51}}, "n_epochs is from 1 to 50",
             "hyperparameters.n_epochs"),
            ({"model": "tiny", "training_file": file.id, "hyperparameters": {"colour": 1}}, "colour is none of",
             "hyperparameters.colour"),
        ]  # fmt: skip
        for asked, said, param in wrong:
            with pytest.raises(openai.APIStatusError, match=said) as told:
                jobs.create(**asked)
            assert told.value.status_code in {400, 404} and told.value.param == param, asked
        assert jobs.list().data == [] and not list((cpu.folder / "data" / "tunings").glob("*"))
        made = [jobs.create(model="tiny", training_file=file.id, hyperparameters={"n_epochs": 50}) for _ in range(3)]
        until(cpu, lambda: jobs.retrieve(made[0].id).status == "running")
        with pytest.raises(openai.BadRequestError, match="cancel it"):
            jobs.pause(made[0].id)
        for job in made:
            assert jobs.cancel(job.id).status == "cancelled"
        assert jobs.cancel(made[0].id).status == "cancelled"
        assert [one.id for one in jobs.list(limit=2)] == [one.id for one in reversed(made)]  # two pages
        assert list(stranger.fine_tuning.jobs.list()) == []
        with pytest.raises(openai.NotFoundError):
            stranger.fine_tuning.jobs.cancel(made[0].id)

        def given_back() -> bool:
            with cpu.database.read() as tx:
                return not leases.live(tx)

        until(cpu, given_back)
        with cpu.database.write() as tx:
            ledger.set_limit(tx, TenantId("bell"), 1)
        mine = stranger.files.create(file=("x.jsonl", lines().encode()), purpose="fine-tune")
        poor = stranger.fine_tuning.jobs.create(model="tiny", training_file=mine.id).id
        refused = until(cpu, lambda: found if (found := stranger.fine_tuning.jobs.retrieve(poor)).error else None)
        assert (refused.status, refused.error.code) == ("failed", "insufficient_quota") and "reserves" in refused.error.message
        (last, *_, first) = [event.message for event in jobs.list_events(made[0].id)]
        assert last == "The job was cancelled" and first == f"Created fine-tuning job: {made[0].id}"


def test_training_data_stays_where_its_tenant_says(cpu: ModelHouse) -> None:
    with cpu.database.write() as tx:
        sites.put(tx, Site("local", country="US", operator="us", operator_country="US"))
        sites.put(tx, Site("home", country="NO", operator="us", operator_country="NO"))
        tenants.set_country(tx, ADA, "NO", force=True, now_us=cpu.now)
    with shop(cpu) as door:
        client = door.client()
        file = client.files.create(file=("x.jsonl", lines().encode()), purpose="fine-tune")
        with cpu.database.write() as tx:
            token_terms.put(tx, TokenTerms(ADA, residency=("NO",)))
        time.sleep(1.2)
        with pytest.raises(openai.PermissionDeniedError) as denied:
            client.fine_tuning.jobs.create(model="tiny", training_file=file.id)
        assert denied.value.code == "data_residency_mismatch" and denied.value.param == "training_file"
        with cpu.database.read() as tx:
            assert leases.live(tx) == [] and store.living(tx) == []
        with cpu.database.write() as tx:  # what is stated between the call and the loop binds, too
            token_terms.put(tx, TokenTerms(ADA))
        time.sleep(1.2)
        door.stand_still()
        job = client.fine_tuning.jobs.create(model="tiny", training_file=file.id)
        with cpu.database.write() as tx:
            token_terms.put(tx, TokenTerms(ADA, residency=("NO",)))
        cpu.pass_time()
        found = client.fine_tuning.jobs.retrieve(job.id)
        assert (found.status, found.error.code) == ("failed", "data_residency_mismatch")
        with cpu.database.read() as tx:
            assert leases.live(tx) == []
