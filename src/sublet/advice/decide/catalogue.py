"""The catalogue: prices that are shipped, tables of the user's own, and the providers behind them."""

import io
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sublet.advice.decide.formats import COLUMNS
from sublet.advice.decide.workload_file import Country, DataPrice, HomePart, SitePart, Word, WorkloadFile
from sublet.advice.finance.units import bounded
from sublet.app.complaints import InvalidFields, explain, meant
from sublet.app.quantities import Text
from sublet.core.decide.models import plain
from sublet.core.decide.offer import COMMIT_1Y, COMMIT_3Y, ON_DEMAND, SOFTWARE, SPOT, Offer, Provider
from sublet.core.errors import Invalid
from sublet.core.residency.words import country_of
from sublet.core.units import HOUR_US, MICRO

PRICES, PROVIDERS = "prices.parquet", "providers.toml"
NEEDED = ("provider", "gpu_model", "gpus")
MODES = {"ondemand": ON_DEMAND, "spot": SPOT, "commit1y": COMMIT_1Y, "commit3y": COMMIT_3Y}
OTHERS = ("region", "instance", "country", "spot_hazard_h", "as_of", "snapshot_date", "source", "currency")
EXAMPLE = "provider,region,country,instance,gpu_model,gpus,usd_h_ondemand,usd_h_spot"
PRICE_H_MAX = 100_000.0
_PRICE = re.compile(r"^([a-z]{3})_h_(ondemand|spot|commit1y|commit3y)$")
_OTHER_UNIT = re.compile(r"^([a-z]{3})_(month|day|year|min|minute|second|s|gpu_h)_?(ondemand|spot|commit1y|commit3y)?$")
Score = Annotated[float, *bounded(0, 1, "a share of 1")]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Offers with the providers behind them; rows that could not be used, with the reason."""

    offers: tuple[Offer, ...]
    providers: Mapping[str, Provider]
    unused: Mapping[str, int]
    dates: tuple[str, str]  # the oldest and the newest row


class Source(BaseModel):
    """What a provider file says of a kind or a provider."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Word | None = None
    operator_country: Country | None = None
    country: Country | None = None
    egress_gb: DataPrice | None = None
    storage_gb_month: DataPrice | None = None
    start_h: Annotated[float, *bounded(0, 8_760, "hours")] | None = None
    wait_h: Annotated[float, *bounded(0, 8_760, "hours")] | None = None
    least_h: Annotated[float, *bounded(0, 8_760, "hours")] | None = None
    spot_hazard_h: Annotated[float, *bounded(0, 100, "interruptions an hour")] | None = None
    notice_s: Annotated[float, *bounded(0, 1e7, "seconds")] | None = None
    support: Score | None = None
    lock_in: tuple[Score, Score, Score] | None = None
    software: tuple[Literal[SOFTWARE], ...] | None = None  # type: ignore[valid-type]
    contract: Text | None = None
    regimes: tuple[Word, ...] | None = None
    certifications: tuple[Word, ...] | None = None
    safeguards: tuple[Word, ...] | None = None
    sources: Mapping[str, Text] = Field(default_factory=dict)


class ProvidersFile(BaseModel):
    """`providers.toml`: kinds with their defaults, providers with their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: Text = ""
    kinds: Mapping[str, Source] = Field(default_factory=dict)
    providers: Mapping[str, Source] = Field(default_factory=dict)


def catalogue(
    file: WorkloadFile, *, tables: Sequence[Path] = (), providers: Path | None = None, rates: Mapping[str, float] | None = None,
    shipped: bool = True,
) -> Catalogue:  # fmt: skip
    """Everything on offer for a workload: shipped prices, tables of the user's, home, own surplus and other sites.

    `rates`: what one unit of a currency is in the workload's, by its three letters.
    """
    known = _providers(providers)
    offers, unused = [], dict[str, int]()
    if shipped:
        found, missed = _shipped(file.currency, (rates or {}).get("USD"))
        offers += found
        unused |= missed
    for path in tables:
        found, missed = offers_of(table(path), str(path), file.currency, rates or {})
        offers += found
        unused |= {f"{path}: {reason}": count for reason, count in missed.items()}
    made = {one.provider: _made(one.provider, known) for one in offers}
    for offer, provider in _own(file, known):
        offers.append(offer)
        made[provider.name] = provider
    if not offers:
        raise Invalid(
            "there is nothing on offer", field="prices", hint="give a table of prices with --prices, or home: in the file"
        )
    dates = sorted(one.as_of for one in offers if one.as_of)
    return Catalogue(tuple(offers), made, unused, (dates[0], dates[-1]) if dates else ("", ""))


@cache
def _shipped(currency: str, rate: float | None) -> tuple[list[Offer], dict[str, int]]:
    return offers_of(shipped_table(), "the shipped prices", currency, {} if rate is None else {"USD": rate})


def shipped_table() -> pl.DataFrame:
    """The shipped prices as a table."""
    return pl.read_parquet(io.BytesIO((files("sublet.advice.decide") / "data" / PRICES).read_bytes()))


def by_provider(frame: pl.DataFrame) -> pl.DataFrame:
    """How many offers each provider of a table has, in how many regions, and how old they are."""
    return (
        frame.group_by("provider")
        .agg(
            offers=pl.len(), regions=pl.col("region").drop_nulls().n_unique(), spot=pl.col("usd_h_spot").is_not_null().sum(),
            as_of=pl.col("as_of").max(), source=pl.col("source").first(),
        )
        .sort("provider")
    )  # fmt: skip


def in_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """The table in the columns of `formats`, whatever else it has."""
    have = [
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, kind).alias(name) for name, kind in COLUMNS.items()
    ]
    return frame.select(have)


def offers_of(frame: pl.DataFrame, what: str, currency: str, rates: Mapping[str, float]) -> tuple[list[Offer], dict[str, int]]:
    """The offers in a table, one for each price of a row; raises `Invalid` naming the column and the way out."""
    prices = _price_columns(frame, what)
    lacks = [column for column in NEEDED if column not in frame.columns]
    if lacks:
        hint = meant(lacks[0], frame.columns) or ""
        has = ", ".join(frame.columns[:12])
        said = f"{what} has no column {lacks[0]!r}; it has {has}"
        raise Invalid(said, field="prices", hint=hint if hint.startswith("did") else f"its first line is like: {EXAMPLE}")
    factor = {column: _rate(column[:3].upper(), currency, rates, what) for column in prices}
    offers: list[Offer] = []
    unused: dict[str, int] = {}
    for number, row in enumerate(frame.rows(named=True), 2):
        offers += _row(row, f"{what}, line {number}", prices, factor, unused)
    return offers, unused


def _price_columns(frame: pl.DataFrame, what: str) -> dict[str, str]:
    found = {column: MODES[match[2]] for column in frame.columns if (match := _PRICE.match(column))}
    odd = next((match for column in frame.columns if (match := _OTHER_UNIT.match(column))), None)
    if odd is not None and not found:
        hint = (
            f"prices are of a whole instance for an hour: name the column {odd[1]}_h_ondemand and convert (a month has 730 h)"
        )
        raise Invalid(f"{what} has {odd[0]!r}, which is no price of an hour", field="prices", hint=hint)
    if not found:
        has = ", ".join(frame.columns[:12])
        raise Invalid(
            f"{what} has no column of prices; it has {has}", field="prices", hint=f"its first line is like: {EXAMPLE}"
        )
    return found


def _rate(theirs: str, ours: str, rates: Mapping[str, float], what: str) -> float:
    """What their currency is in ours."""
    if theirs in rates:
        return rates[theirs]
    if theirs == ours:
        return 1.0
    hint = f"say what a {theirs} is in {ours}: --rate {theirs}=1.08; or convert the table"
    raise Invalid(f"{what} is in {theirs}, and the workload in {ours}", field="prices", hint=hint)


def _row(
    row: Mapping[str, Any], where: str, prices: Mapping[str, str], factor: Mapping[str, float], unused: dict[str, int]
) -> Iterator[Offer]:
    def skip(reason: str) -> None:
        unused[reason] = unused.get(reason, 0) + 1

    if not row["provider"] or not row["gpu_model"]:
        skip("no provider or no GPU model")
        return
    gpus = _number(row["gpus"], where, "gpus")
    if not gpus:
        skip("how many GPUs an instance has is not known")
        return
    if gpus < 0:
        raise Invalid(f"{where}: gpus is {gpus:g}", field="prices", hint="how many GPUs an instance has, above 0")
    region, country = row.get("region"), _country(row.get("country"), where)
    any_price = False
    for column, mode in prices.items():
        price = _number(row[column], where, column)
        if price is None:
            continue
        if price <= 0:
            raise Invalid(
                f"{where}: {column} is {price:g}", field="prices", hint="prices are above 0; leave the cell empty for none"
            )
        if price > PRICE_H_MAX:
            raise Invalid(f"{where}: {column} is {price:,.10g}", field="prices", hint="prices are of one hour, not of a month")
        any_price = True
        yield Offer(
            provider=str(row["provider"]).strip().lower(),
            region=None if region is None else str(region),
            instance=str(row.get("instance") or row["gpu_model"]),
            mode=mode,
            gpu_model=plain(str(row["gpu_model"])),
            gpus=gpus,
            price_micro=round(price * factor[column] * MICRO),
            country=country,
            hazard_h=_number(row.get("spot_hazard_h"), where, "spot_hazard_h") if mode == SPOT else None,
            as_of=str(row.get("as_of") or row.get("snapshot_date") or ""),
            source=str(row.get("source") or ""),
        )
    if not any_price:
        skip("no price")


def _number(value: Any, where: str, column: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise Invalid(f"{where}: {column} is {value!r}, no number", field="prices", hint="write 12.5") from error


def _country(value: Any, where: str) -> str | None:
    if not value:
        return None
    try:
        return country_of(str(value))
    except Invalid as error:
        raise Invalid(f"{where}: {error.message}", field="prices", hint=error.hint) from error


def table(path: Path) -> pl.DataFrame:
    """A table of prices in a file, CSV or Parquet."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", field="prices", hint="check the path") from error
    try:
        if content[:4] == b"PAR1":
            return pl.read_parquet(io.BytesIO(content))
        return pl.read_csv(io.BytesIO(content), infer_schema=False, comment_prefix="#")
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        hint = f"give a CSV file with a line of headings, or Parquet: {EXAMPLE}"
        raise Invalid(f"{path} is no table", field="prices", hint=hint) from error


# providers


def _providers(path: Path | None) -> ProvidersFile:
    shipped = tomllib.loads((files("sublet.advice.decide") / "data" / PROVIDERS).read_text(encoding="utf-8"))
    if path is None:
        return _checked(shipped, PROVIDERS)
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}", field="providers", hint="check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is no TOML: {error}", field="providers", hint="[providers.NAME] with kind = ...") from error
    _checked(own, str(path))
    both = {part: {**shipped.get(part, {}), **own.get(part, {})} for part in ("kinds", "providers")}
    return _checked(both, str(path))


def _checked(values: Mapping[str, Any], what: str) -> ProvidersFile:
    for part in ("kinds", "providers"):
        tables = values.get(part)
        for name, told in tables.items() if isinstance(tables, dict) else ():
            try:
                Source.model_validate(told)
            except ValidationError as error:  # here, so that a slip is told what was meant
                raise InvalidFields(f"{what}: [{part}.{name}]", explain(error.errors(), Source)) from error
    try:
        return ProvidersFile.model_validate(values)
    except ValidationError as error:
        raise InvalidFields(what, explain(error.errors(), ProvidersFile)) from error


def _made(name: str, known: ProvidersFile, *, kind: str | None = None) -> Provider:
    """A provider from its own table and its kind's; one of which nobody says anything has no kind and counts as the worst."""
    own = known.providers.get(name, Source())
    kind = kind or own.kind or "unknown"
    usual = known.kinds.get(kind, Source())

    def said(field: str) -> Any:
        mine = getattr(own, field)
        return getattr(usual, field) if mine is None else mine

    given = {
        "operator_country": said("operator_country"), "country": said("country"), "egress_micro_gb": said("egress_gb"),
        "storage_micro_gb_month": said("storage_gb_month"), "start_h": said("start_h"), "wait_h": said("wait_h"),
        "least_h": said("least_h"), "hazard_h": said("spot_hazard_h"), "notice_s": said("notice_s"), "support": said("support"),
        "lock_in": said("lock_in"), "contract": said("contract"), "regimes": said("regimes"),
        "certifications": said("certifications"), "safeguards": said("safeguards"),
        "software": None if said("software") is None else frozenset(said("software")),
    }  # fmt: skip
    return Provider(
        name,
        kind,
        sources={**usual.sources, **own.sources},
        **{key: value for key, value in given.items() if value is not None},
    )


def _own(file: WorkloadFile, known: ProvidersFile) -> Iterator[tuple[Offer, Provider]]:
    """Home, the own surplus and other sites, as the workload's file has them."""
    for name, part, mode, kind in (
        ("home", file.home, ON_DEMAND, "home"), ("own surplus", file.surplus, SPOT, "own surplus"),
    ):  # fmt: skip
        if part is not None:
            provider = replace(_made(name, known, kind=kind), operator_country=file.country)
            yield _offered(name, part, mode, provider)
    for site in file.sites:
        provider = replace(
            _made(site.name, known, kind="sublet site"),
            operator_country=site.operator_country, regimes=site.regimes, certifications=site.certifications,
            safeguards=site.safeguards,
        )  # fmt: skip
        yield _offered(site.name, site, site.mode, provider)


def _offered(name: str, part: HomePart | SitePart, mode: str, provider: Provider) -> tuple[Offer, Provider]:
    hazard = getattr(part, "interruptions_h", None)
    offer = Offer(
        provider=name, region=None, instance=f"{part.gpu_model}:{part.node_gpus}", mode=mode, gpu_model=part.gpu_model,
        gpus=1.0, price_micro=part.gpu_h, country=part.country, hazard_h=hazard if mode == SPOT else None, whole=True,
        source="the workload's file",
    )  # fmt: skip
    wait = provider.wait_h if part.wait is None else part.wait / HOUR_US
    return offer, replace(provider, wait_h=wait, country=part.country)
