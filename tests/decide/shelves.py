"""Made-up offers and workloads for tests of the ranking."""

from dataclasses import replace

from hypothesis import strategies as st

from sublet.core.decide.offer import COMMIT_1Y, ON_DEMAND, SPOT, Needs, Offer, Provider
from sublet.core.decide.rank import CRITERIA
from sublet.core.finishing import Habit
from sublet.core.residency import Label, Party
from sublet.core.units import MICRO, MINUTE_US, SECOND_US

COUNTRIES = ("DE", "FR", "US", "NO")
PROVIDERS = tuple(f"p{n}" for n in range(6))

providers = st.builds(
    Provider,
    name=st.just(""),
    kind=st.sampled_from(("hyperscaler", "gpu cloud")),
    operator_country=st.sampled_from((*COUNTRIES, None)),
    egress_micro_gb=st.integers(0, 200_000),
    storage_micro_gb_month=st.integers(0, 100_000),
    start_h=st.floats(0, 1),
    wait_h=st.floats(0, 20),
    least_h=st.sampled_from((0.0, 24.0)),
    hazard_h=st.none() | st.floats(0, 0.2),
    notice_s=st.none() | st.floats(0, 600),
    support=st.none() | st.floats(0, 1),
    lock_in=st.none() | st.tuples(*[st.floats(0, 1)] * 3),
    software=st.frozensets(st.sampled_from(("container", "vm", "llama"))),
)
offers = st.builds(
    Offer,
    provider=st.sampled_from(PROVIDERS),
    region=st.sampled_from(("north", "south", None)),
    instance=st.sampled_from(("small", "large")),
    mode=st.sampled_from((ON_DEMAND, SPOT, COMMIT_1Y)),
    gpu_model=st.sampled_from(("H100", "A100-80GB")),
    gpus=st.sampled_from((1.0, 4.0, 8.0)),
    price_micro=st.integers(MICRO // 10, 100 * MICRO),
    country=st.sampled_from((*COUNTRIES, None)),
)
needs = st.builds(
    Needs,
    name=st.just("w"),
    gpus=st.integers(1, 32),
    models=st.sampled_from(({"H100": 1.0}, {"H100": 1.0, "A100": 0.5})),
    work_h=st.floats(0.5, 200),
    runs=st.integers(1, 20),
    habit=st.builds(Habit, checkpoint_us=st.integers(5 * MINUTE_US, 300 * MINUTE_US), save_us=st.integers(0, 300 * SECOND_US)),
    saves=st.booleans(),
    interruptible=st.booleans(),
    in_gb=st.floats(0, 2_000),
    out_gb=st.floats(0, 2_000),
    kept_gb=st.floats(0, 2_000),
    must=st.frozensets(st.sampled_from(("container",)), max_size=1),
    wants=st.frozensets(st.sampled_from(("vm", "llama"))),
    deadline_h=st.none() | st.floats(1, 3_000),
    label=st.sampled_from((Label(), Label(("EU",)), Label(("DE", "FR")))),
    tenant=st.just(Party("us", "DE")),
    weights=st.dictionaries(st.sampled_from(tuple(CRITERIA)), st.sampled_from((0.0, 0.5, 3.0)), max_size=7),
)
sets = st.tuples(
    st.lists(providers, min_size=6, max_size=6).map(
        lambda made: {name: replace(one, name=name) for name, one in zip(PROVIDERS, made, strict=True)}
    ),
    st.lists(offers, min_size=1, max_size=12),
)
