"""Models through the API: what is wrong with one is said before any lease is asked for."""

import hashlib
from pathlib import Path
from typing import Any

from doors import Doors, good, refused
from sublet.app.weights import TINY


def body(**changes: Any) -> dict[str, Any]:
    return {"name": "tiny", "server": "llamacpp", "source": "builtin", **changes}


def test_a_model_is_added_served_shown_and_removed(doors: Doors) -> None:
    prices = {"input_micro": 100_000, "cached_micro": 50_000, "output_micro": 400_000}
    asked = body(aliases=["gpt-4o-mini", "org/tiny:1"], prices=prices, options={"slots": 2})
    made = good(doors.owner.post("/v1/models", json=asked))
    assert made["available"] and made["path"] == str(TINY) and made["context_length"] == 2_048 and made["prices"] == prices
    served = good(doors.owner.put("/v1/models/tiny/servings/flex", json={"replicas_min": 1, "replicas_max": 3}))
    assert [(one["tier"], one["lease_class"], one["replicas_max"]) for one in served["servings"]] == [("flex", "spot", 3)]
    doors.plane.keeper.tick()
    leases = good(doors.owner.get("/v1/leases"))["items"]
    assert [(one["name"], one["tenant"], one["access"]) for one in leases] == [("tiny:flex", "models", "endpoint")]
    doors.tick(2)
    (replica,) = good(doors.owner.get("/v1/models/tiny"))["replicas"]
    assert replica["state"] == "starting" and replica["lease"] == leases[0]["id"] and "secret" not in replica
    refused(doors.owner.delete("/v1/models/tiny"), 409)
    good(doors.owner.put("/v1/models/tiny/servings/flex", json={"replicas_min": 0, "replicas_max": 0}))
    doors.plane.keeper.tick()
    doors.tick(3)
    good(doors.owner.delete("/v1/models/tiny"))
    assert good(doors.owner.get("/v1/models"))["items"] == []


def test_what_is_wrong_with_a_model_is_said_at_once(doors: Doors, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(TINY.read_bytes()[:-8_192])
    (tmp_path / "text.gguf").write_text("no model")
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"source": "/nowhere/m.gguf"}, "source", "there is nothing at /nowhere/m.gguf"),
        ({"source": "m.gguf"}, "source", "is no whole path"),
        ({"source": str(cut)}, "source", "is cut off"),
        ({"source": str(tmp_path / "text.gguf")}, "source", "is no GGUF file"),
        ({"source": str(tmp_path)}, "source", "llamacpp loads a GGUF file"),
        ({"source": str(tmp_path), "server": "vllm"}, "source", "is no folder of a model"),
        ({"source": "hub:org/name"}, "source", "loads one GGUF file"),
        ({"server": "llama"}, "server", "there is no server program 'llama'"),
        ({"server": "url", "source": "builtin"}, "source", "is no address"),
        ({"options": {"slot": 2}}, "options", "has no option 'slot'"),
        ({"context_length": 4_096}, "context_length", "was made for 2048 tokens"),
        ({"checksum": "12"}, "checksum", "pattern"),
    ]
    for change, field, said in wrong:
        problem = refused(doors.owner.post("/v1/models", json=body(**change)), 422)
        told = problem["errors"] or [{"field": problem["field"], "message": problem["detail"], "hint": problem["hint"]}]
        assert told[0]["field"] == field and (said in told[0]["message"] or said == "pattern"), (change, problem)
        assert told[0]["hint"] or said == "pattern", change


def test_a_name_belongs_to_one_model(doors: Doors) -> None:
    good(doors.owner.post("/v1/models", json=body(aliases=["small"])))
    for name, aliases in (("tiny", []), ("small", []), ("other", ["tiny"]), ("other", ["small"])):
        refused(doors.owner.post("/v1/models", json=body(name=name, aliases=aliases)), 409)
    refused(doors.owner.get("/v1/models/other"), 404)
    tenant = doors.tenant("ada")
    refused(tenant.get("/v1/models"), 403)
    refused(tenant.post("/v1/models", json=body(name="mine")), 403)


def test_weights_are_served_only_with_the_checksum_that_was_given(doors: Doors) -> None:
    found = hashlib.sha256(TINY.read_bytes()).hexdigest()
    for name, checksum in (("right", found), ("wrong", "0" * 64)):
        made = good(doors.owner.post("/v1/models", json=body(name=name, checksum=checksum)))
        assert not made["available"] and made["detail"] == "waits to be checked"
        good(doors.owner.put(f"/v1/models/{name}/servings/flex", json={}))
    doors.plane.keeper.tick()
    doors.plane.keeper.settle()
    right, wrong = (good(doors.owner.get(f"/v1/models/{name}")) for name in ("right", "wrong"))
    assert right["available"] and not wrong["available"] and f"is {found}, not 000" in wrong["detail"]
    doors.plane.keeper.tick()
    assert [one["name"] for one in good(doors.owner.get("/v1/leases"))["items"]] == [], "both tries wait: weights were missing"
    assert "the weights of wrong are not there yet" in good(doors.owner.get("/v1/models/wrong"))["servings"][0]["detail"]


def test_what_no_round_could_grant_is_refused(doors: Doors) -> None:
    good(doors.owner.post("/v1/models", json=body()))
    put = doors.owner.put
    assert "does not offer dedicated" in refused(put("/v1/models/tiny/servings/priority", json={}), 422)["detail"]
    assert "does not have 1 nodes" in refused(put("/v1/models/tiny/servings/flex", json={"gpus": 64}), 422)["detail"]
    assert "'oslo' is no country, no bloc and no site" in refused(sited(doors), 422)["detail"]
    refused(put("/v1/models/tiny/servings/flex", json={"replicas_min": 2, "replicas_max": 1}), 422)
    refused(put("/v1/models/tiny/servings/flex", json={"replicas_max": 0}), 404)
    refused(put("/v1/models/tiny/servings/fast", json={}), 422)
    assert "there is no tenant" in refused(put("/v1/models/tiny/servings/flex", json={"tenant": "nobody"}), 404)["detail"]
    tenant = doors.tenant("ada")
    task = {"run": "true", "lease": {"access": "endpoint"}}
    problem = refused(tenant.post("/v1/leases", json=task), 422)
    assert "sublet model serve" in problem["hint"]


def sited(doors: Doors) -> Any:
    good(doors.owner.post("/v1/models", json=body(name="far", sites=["oslo"])))
    return doors.owner.put("/v1/models/far/servings/flex", json={})
