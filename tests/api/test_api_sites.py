"""Sites through the API: settings that hold from the next round on, for the owner alone."""

from doors import TASK, Doors, good, refused


def test_a_site_is_set_part_by_part_and_bounds_what_is_lent(everywhere: Doors) -> None:
    assert good(everywhere.owner.get("/v1/sites")) == {"items": []}
    assert "none yet" in refused(everywhere.owner.get("/v1/sites/local"), 404)["hint"]
    made = good(everywhere.owner.put("/v1/sites/local", json={"ramp_kw_per_min": 1}))
    assert {name: made[name] for name in made if made[name]} == {"id": "local", "ramp_kw_per_min": 1, "state_gb": 80}
    acme = everywhere.tenant("acme")
    lease = good(acme.post("/v1/leases", json=TASK))["id"]
    everywhere.tick(3)
    assert good(acme.get(f"/v1/leases/{lease}"))["state"] == "active", "two GPUs come back within ten minutes"
    changed = good(everywhere.owner.put("/v1/sites/local", json={"save_gb_s": 7}))
    assert (changed["ramp_kw_per_min"], changed["save_gb_s"]) == (1, 7)
    assert good(everywhere.owner.put("/v1/sites/local", json={"ramp_kw_per_min": None}))["ramp_kw_per_min"] is None
    assert good(everywhere.owner.get("/v1/sites"))["items"] == [good(everywhere.owner.get("/v1/sites/local"))]
    told = good(everywhere.owner.get("/v1/events", params={"limit": 1000}))["items"]
    assert next(event["data"] for event in told if event["kind"] == "site.changed") == {"ramp_kw_per_min": 1}


def test_what_makes_no_sense_is_refused_and_sites_are_the_owners(doors: Doors) -> None:
    for wrong in ({"ramp_kw_per_min": 0}, {"save_gb_s": "fast"}, {"state_gb": None}, {"power": 1}):
        assert refused(doors.owner.put("/v1/sites/local", json=wrong), 422)["errors"]
    refused(doors.owner.put("/v1/sites/a%20b", json={}), 422)
    acme = doors.tenant("acme")
    refused(acme.get("/v1/sites"), 403)
    refused(acme.put("/v1/sites/local", json={"save_gb_s": 1}), 403)
