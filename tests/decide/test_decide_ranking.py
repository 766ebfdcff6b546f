"""The ranking's promises, for any offers and any workload."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from shelves import needs, sets

from sublet.core.decide.offer import ON_DEMAND, SPOT, Needs, Offer, Provider
from sublet.core.decide.rank import CRITERIA, by_provider, pareto, rank
from sublet.core.decide.turn import turns
from sublet.core.decide.weigh import shelf_of, weigh
from sublet.core.finishing import Habit, finish, steady
from sublet.core.residency import Label, Party, Place, allows, verdicts
from sublet.core.units import HOUR_US, MICRO

EVERY = settings(max_examples=80, deadline=None)


def ranked(asked: Needs, providers: dict[str, Provider], offered: list[Offer]):  # type: ignore[no-untyped-def]
    on = shelf_of(offered, providers)
    return rank(asked, on, weigh(asked, on))


@EVERY
@given(needs, sets, st.data())
def test_a_cheaper_offer_that_is_else_the_same_never_ranks_lower(asked: Needs, made, data) -> None:  # type: ignore[no-untyped-def]
    providers, offered = made
    dear = data.draw(st.sampled_from(offered))
    cheap = replace(dear, price_micro=max(1, int(dear.price_micro * data.draw(st.floats(0.05, 0.999)))))
    found = ranked(replace(asked, most_micro=None), providers, [*offered, cheap])
    place = {int(i): n for n, i in enumerate(found.order)}
    mine, theirs = len(offered), offered.index(dear)
    assert (mine in place) == (theirs in place), "a lower price closes nothing"
    assume(mine in place)
    assert place[mine] < place[theirs] or (
        found.weighed.cost[mine] == found.weighed.cost[theirs] and found.scores[mine] == found.scores[theirs]
    )


@EVERY
@given(needs, sets)
def test_what_residency_denies_never_ranks(asked: Needs, made) -> None:  # type: ignore[no-untyped-def]
    providers, offered = made
    found = ranked(asked, providers, offered)
    for i in found.order:
        offer, provider = offered[int(i)], providers[offered[int(i)].provider]
        place = Place("x", offer.country or provider.country, provider.name, provider.operator_country)
        assert allows(asked.label, verdicts(asked.label, place, asked.tenant))
    if not asked.label.silent:
        assert all(i in found.closed for i, one in enumerate(offered) if one.country is None), "unknown means denied"


@EVERY
@given(needs, sets, st.sampled_from([name for name in CRITERIA if name not in {"cost", "time", "availability"}]))
def test_a_weight_of_nothing_takes_a_criterion_out(asked: Needs, made, name: str) -> None:  # type: ignore[no-untyped-def]
    providers, offered = made
    asked = replace(asked, weights={**asked.weights, name: 0.0})
    before = ranked(asked, providers, offered).order
    other = {
        "support": {"support": 0.123},
        "freedom": {"lock_in": (0.9, 0.1, 0.4)},
        "software": {"software": frozenset({"container", "vm", "llama"})},
        "contract": {},
    }[name]
    if name == "contract":
        return  # what it is made of moves the cost, too; the scores below say it
    turned = {key: replace(one, **other) for key, one in providers.items()}  # type: ignore[arg-type]
    assume(name != "software" or not asked.must)
    assert before.tolist() == ranked(asked, turned, offered).order.tolist()


@EVERY
@given(needs, sets)
def test_scores_are_the_mean_of_their_parts_and_the_order_is_theirs(asked: Needs, made) -> None:  # type: ignore[no-untyped-def]
    found = ranked(asked, *made)
    assert set(found.order.tolist()) | set(found.closed) == set(range(len(made[1])))
    total = sum(found.weights.values())
    scores = [float(found.scores[i]) for i in found.order]
    assert scores == sorted(scores, reverse=True) or np.allclose(scores, sorted(scores, reverse=True), atol=1e-11)
    for i in found.order:
        parts = {name: float(found.parts[name][i]) for name in CRITERIA}
        assert all(0 <= part <= 1 for part in parts.values())
        if total:
            mean = sum(found.weights[name] * part for name, part in parts.items()) / total
            assert found.scores[i] == pytest.approx(mean)


@EVERY
@given(needs, sets)
def test_on_the_front_nothing_is_cheaper_and_sooner(asked: Needs, made) -> None:  # type: ignore[no-untyped-def]
    found = ranked(asked, *made)
    front = pareto(found, found.order.tolist())
    cost, end = found.weighed.cost, found.weighed.end_h
    assert bool(front) == bool(len(found.order))
    for i in found.order:
        beaten = any(cost[j] <= cost[i] and end[j] <= end[i] and (cost[j], end[j]) != (cost[i], end[i]) for j in found.order)
        assert (i in front) <= (not beaten)


@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(needs, sets)
def test_each_turn_does_what_it_says(asked: Needs, made) -> None:  # type: ignore[no-untyped-def]
    providers, offered = made
    found = ranked(asked, providers, offered)
    if len(by_provider(found)) < 2:
        return
    first = offered[int(found.order[0])].provider
    for turn in turns(found):
        if turn.what == "weight":
            again = ranked(replace(asked, weights={**found.weights, turn.of: turn.then}), providers, offered)
        elif turn.what == "price":
            factor = turn.then / turn.now
            factor *= 1.001 if factor > 1 else 0.999
            moved = [
                replace(one, price_micro=round(one.price_micro * factor)) if one.provider == turn.of else one for one in offered
            ]
            if any(one.price_micro <= 10_000 for one in moved):
                continue  # whole micro-units are too coarse for a thousandth
            again = ranked(asked, providers, moved)
        else:
            continue
        assert not len(again.order) or offered[int(again.order[0])].provider != first, turn


def one(mode: str, price: float, hazard: float, **more: object) -> tuple[Needs, dict[str, Provider], list[Offer]]:
    provider = Provider("p", "gpu cloud", start_h=0.0, hazard_h=hazard, notice_s=30.0)
    offer = Offer("p", None, "i", mode, "H100", 8.0, round(price * MICRO), "DE")
    asked = Needs("w", 8, {"H100": 1.0}, 40.0, **more)  # type: ignore[arg-type]
    return asked, {"p": provider}, [offer]


@pytest.mark.parametrize("hazard", [0.005, 0.02, 0.08])
@pytest.mark.parametrize("save_s", [10, 120])
@pytest.mark.parametrize("checkpoint_h", [0.5, 2.0])
def test_the_expected_spot_cost_is_that_of_many_simulated_runs(hazard: float, save_s: int, checkpoint_h: float) -> None:
    habit = Habit(checkpoint_us=round(checkpoint_h * HOUR_US), save_us=save_s * 1_000_000, free_us=0, turn_us=0, backoff_us=0)
    asked, providers, offered = one(SPOT, 20, hazard, habit=habit)
    cost = ranked(asked, providers, offered).weighed.cost[0]
    heeds = replace(habit, heeds=save_s <= 30)
    work = np.full(20_000, 40 * HOUR_US)
    rows = np.tile(np.array(heeds.row, np.int64), (len(work), 1))
    played = finish(work, np.full(len(work), 8), rows, steady(hazard), runs=1, seed=4)
    simulated = played.billed_us.mean() / HOUR_US * 20 * MICRO
    assert cost == pytest.approx(simulated, rel=0.05)


def test_every_part_of_the_cost_is_counted() -> None:
    asked, providers, offered = one(ON_DEMAND, 10, 0.0, runs=3, in_gb=90.0, out_gb=45.0, kept_gb=730.0, idle_h=2.0,
                                    home_egress_micro_gb=10_000, gb_per_h=45.0)  # fmt: skip
    providers["p"] = replace(providers["p"], egress_micro_gb=80_000, storage_micro_gb_month=20_000, start_h=1.0, wait_h=5.0)
    weighed = ranked(asked, providers, offered).weighed
    hours = 40 + 2 + 1 + 3  # work, idle, start, and the way of 135 GB
    assert weighed.compute[0] == pytest.approx(3 * hours * 10 * MICRO)
    assert weighed.egress[0] == pytest.approx(3 * (45 * 80_000 + 90 * 10_000))
    assert weighed.end_h[0] == pytest.approx(3 * (hours + 5))
    assert weighed.storage[0] == pytest.approx(730 * 20_000 * weighed.end_h[0] / 730)
    assert weighed.cost[0] == pytest.approx(weighed.compute[0] + weighed.egress[0] + weighed.storage[0])


def test_a_commitment_is_paid_whole_and_a_host_of_a_day_for_a_day() -> None:
    asked, providers, offered = one("1 year", 10, 0.0)
    assert ranked(asked, providers, offered).weighed.cost[0] == pytest.approx(8_760 * 10 * MICRO)
    short = replace(asked, work_h=1.0)
    providers["p"] = replace(providers["p"], least_h=24.0)
    assert ranked(short, providers, [replace(offered[0], mode=ON_DEMAND)]).weighed.cost[0] == pytest.approx(240 * MICRO)


def test_gangs_of_several_instances_are_interrupted_where_any_of_them_is() -> None:
    asked, providers, offered = one(SPOT, 10, 0.01)
    alone = ranked(asked, providers, offered).weighed.interruptions[0]
    four = ranked(replace(asked, gpus=32), providers, offered).weighed.interruptions[0]
    whole = ranked(replace(asked, gpus=32), providers, [replace(offered[0], whole=True)]).weighed.interruptions[0]
    assert four == pytest.approx(4 * alone, rel=0.02) and whole == pytest.approx(alone)


def test_unknown_facts_count_as_the_worst_and_an_unknown_country_is_denied() -> None:
    asked, providers, offered = one(ON_DEMAND, 10, 0.0, label=Label(("DE",)), tenant=Party("us", "DE"))
    providers["q"] = Provider("q", "unknown")
    found = ranked(asked, providers, [*offered, replace(offered[0], provider="q", price_micro=1, country=None)])
    assert found.order.tolist() == [0] and "country" in found.closed[1]
    assert found.parts["support"][0] == 0.0
