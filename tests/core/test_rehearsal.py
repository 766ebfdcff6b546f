"""After the rehearsal nothing that a round needs is left to be compiled."""

import json
import subprocess
import sys

FRESH = """
import importlib, json, pkgutil
import sublet.core.forecast.kernels, sublet.core.kernels
from sublet.core.rehearsal import rehearse

serves, lends = rehearse()
names = [one.name for one in pkgutil.iter_modules(sublet.core.kernels.__path__, "sublet.core.kernels.")]
modules = [importlib.import_module(name) for name in (*names, "sublet.core.forecast.kernels")]

def compiled():
    found = {}
    for module in modules:
        for name, one in vars(module).items():
            if getattr(one, "__module__", "") == module.__name__ and hasattr(one, "signatures"):
                found[f"{module.__name__}.{name}"] = len(one.signatures)
    return found

before = compiled()
from sublet.bench.reclaims import GANG_NODES, gang
from sublet.bench.fleet import NOW_US, Size, fleet, full_house
from sublet.core.ids import JobId
from sublet.core.round import decide
from sublet.core.values import changed

market, house = fleet(Size().of(6_000)), full_house(Size().of(6_000))
pool = house.pools[0].pool.id
house.standing(pool).put_job(gang(pool))
house.standing(pool).put_job(changed(gang(pool), id=JobId("small"), gpus=4, nodes=1))
plans = [decide(market, now=NOW_US), decide(house, now=NOW_US)]
print(json.dumps({
    "new": [name for name, many in compiled().items() if many != before[name]],
    "did": [len(one) for one in (serves.job_starts, serves.notices, lends.grants, lends.waits)],
    "decided": [len(plans[0].grants), len(plans[1].notices)],
}))
"""


def test_a_round_after_the_rehearsal_compiles_nothing() -> None:
    ran = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    assert all(found["did"]) and all(found["decided"]), "each of these rounds decides something"
    assert found["new"] == []
