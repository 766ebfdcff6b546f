"""Tenants, their spend limits and quotas."""

from typing import Annotated, Any

import typer

from sublet.app.quantities import money_micro
from sublet.cli.assignments import pair
from sublet.cli.client import connect
from sublet.cli.output import Json, money, show, table
from sublet.core.residency import Sensitivity

Id = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's id.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this noun."""
    tenant = typer.Typer(name="tenant", help="Who leases, what they may spend and hold.", no_args_is_help=True)
    tenant.command("add")(add)
    tenant.command("ls")(everybody)
    tenant.command("limit")(limit)
    tenant.command("country")(country)
    tenant.command("quota")(quota)
    tenant.command("tokens")(tokens)
    tenant.command("suspend")(suspend)
    tenant.command("resume")(resume)
    app.add_typer(tenant)


def add(
    tenant: Id,
    name: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
    currency: Annotated[str, typer.Option(help="In which it is billed.")] = "USD",
    limit: Annotated[str | None, typer.Option(help="Spend limit, for example 500 or $500.")] = None,
    country: Annotated[str | None, typer.Option(help="Its seat, or its parent's: an ISO code or an English name.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Make a tenant."""
    body = {"id": tenant, "name": name or tenant, "currency": currency, "limit_micro": _amount(limit), "country": country}
    with connect() as client:
        made = client.post("/v1/tenants", body)
    next_step = f"make its key: sublet key add --scope tenant --tenant {tenant}"
    show(made, as_json, lambda: f"tenant [bold]{made['id']}[/] is there; {next_step}")


def everybody(*, as_json: Json = False) -> None:
    """All tenants with what they owe and may still spend."""
    with connect() as client:
        found = client.everything("/v1/tenants")
    headings = ("tenant", "name", "seat", "owes", "reserved", "limit", "left", "quotas", "")
    rows = (
        (
            one["id"],
            one["name"],
            one["country"] or "unknown",
            money(one["balance_micro"], one["currency"]),
            money(one["held_micro"], one["currency"]),
            _or_none(one["limit_micro"], one["currency"]),
            _or_none(one["headroom_micro"], one["currency"]),
            ", ".join(_quota(quota) for quota in one["quotas"]) or "-",
            "suspended" if one["suspended"] else "",
        )
        for one in found
    )
    show(found, as_json, lambda: table(headings, rows, right=("owes", "reserved", "limit", "left"), empty="no tenants yet"))


def _or_none(micro: int | None, currency: str) -> str:
    return "none" if micro is None else money(micro, currency)


def _quota(quota: dict[str, Any]) -> str:
    more = "unbounded" if quota["borrowing_limit"] is None else f"up to {quota['borrowing_limit']}"
    return f"{quota['pool']}: {quota['nominal']} + {more}"


def limit(
    tenant: Id,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="For example 500, $500 or none.")],
    *,
    as_json: Json = False,
) -> None:
    """Set what a tenant may owe and have reserved at most."""
    with connect() as client:
        found = client.put(f"/v1/tenants/{tenant}/limit", {"limit_micro": None if amount == "none" else _amount(amount)})
    show(found, as_json, lambda: f"tenant [bold]{tenant}[/]: limit {_or_none(found['limit_micro'], found['currency'])}")


def country(
    tenant: Id,
    seat: Annotated[str, typer.Argument(metavar="COUNTRY", help="An ISO code, an English name, or unknown.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Give notice to leases that may not go on then.")] = False,
    as_json: Json = False,
) -> None:
    """State where a tenant, or the parent that controls it, has its seat."""
    body = {"country": None if seat == "unknown" else seat}
    with connect() as client:
        found = client.put(f"/v1/tenants/{tenant}/country", body, force=force)
    show(found, as_json, lambda: f"tenant [bold]{tenant}[/]: seat {found['country'] or 'unknown'}")


def quota(
    tenant: Id,
    pool: Annotated[str, typer.Argument(metavar="POOL")],
    nominal: Annotated[int, typer.Argument(metavar="GPUS", min=0, help="Its own share.")],
    borrow: Annotated[int | None, typer.Option(min=0, help="GPUs it may hold beyond its share; no bound if left away.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Set how many GPUs of a pool a tenant may hold."""
    with connect() as client:
        found = client.put(f"/v1/tenants/{tenant}/quotas/{pool}", {"nominal": nominal, "borrowing_limit": borrow})
    show(found, as_json, lambda: f"tenant [bold]{tenant}[/]: {', '.join(_quota(one) for one in found['quotas'])}")


def tokens(
    tenant: Id,
    *,
    requests_per_min: Annotated[int | None, typer.Option(min=1, help="Requests to models; the settings' if left away.")] = None,
    tokens_per_min: Annotated[int | None, typer.Option(min=1, help="Tokens, asked and answered together.")] = None,
    residency: Annotated[
        list[str] | None,
        typer.Option(help="Where its words and files may be: country, bloc (EU) or site. May be given again."),
    ] = None,
    sensitivity: Annotated[Sensitivity, typer.Option(help="Of its words and files.")] = Sensitivity.PUBLIC,
    fallback: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=OTHER,...", help="What answers when none of a model's replicas can: MODEL or MODEL@SITE."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Set what a tenant may ask of models. What is left away is as the settings grant it to all."""
    pairs = [pair(text, "--fallback", form="MODEL=OTHER,...") for text in fallback or ()]
    body = {
        "requests_per_min": requests_per_min,
        "tokens_per_min": tokens_per_min,
        "residency": residency or [],
        "sensitivity": sensitivity.value,
        "fallbacks": {model: others.split(",") for model, others in pairs},
    }
    with connect() as client:
        found = client.put(f"/v1/tenants/{tenant}/tokens", body)
    where = f"; only in {', '.join(found['residency'])}" if found["residency"] else ""
    rates = f"{found['requests_per_min'] or 'default'} requests, {found['tokens_per_min'] or 'default'} tokens a minute{where}"
    others = "".join(f"; {model} falls back to {', '.join(names)}" for model, names in found["fallbacks"].items())
    show(found, as_json, lambda: f"tenant [bold]{tenant}[/]: {rates}{others}")


def suspend(tenant: Id, *, as_json: Json = False) -> None:
    """Grant nothing new to a tenant. What runs goes on."""
    _set_suspended(tenant, suspended=True, as_json=as_json)


def resume(tenant: Id, *, as_json: Json = False) -> None:
    """Grant to a suspended tenant again."""
    _set_suspended(tenant, suspended=False, as_json=as_json)


def _set_suspended(tenant: str, *, suspended: bool, as_json: bool) -> None:
    with connect() as client:
        found = client.put(f"/v1/tenants/{tenant}/suspended", {"suspended": suspended})
    show(found, as_json, lambda: f"tenant [bold]{tenant}[/] {'is suspended' if suspended else 'may lease again'}")


def _amount(text: str | None) -> int | None:
    try:
        return None if text is None else money_micro(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="AMOUNT") from None
