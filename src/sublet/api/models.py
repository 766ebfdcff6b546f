"""Models: what is served, from which weights, by how many replicas. Secrets of servers are never shown."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from sublet.api.bodies import Body, InPath, Label, Micro, Name
from sublet.api.call import Calling, Posting, only
from sublet.app import models
from sublet.app.keys import Scope
from sublet.app.models import HOUSE, Shown
from sublet.app.quantities import Text
from sublet.core.ids import ModelName, PoolId, TenantId
from sublet.core.model import TIER_CLASS, Model, Replica, Serving, Tier, TokenPrices
from sublet.store import models as store

router = APIRouter(prefix="/v1/models", tags=["models"])
_OWNER, _LOOKING = [only()], [only(Scope.FINANCE, Scope.READ_ONLY)]
TierName = Literal["flex", "default", "priority"]
Alias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$", description="another name for it")]
OptionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
OptionValue = StrictBool | StrictInt | StrictFloat | Annotated[StrictStr, Field(max_length=1_024)]
PerMillion = Annotated[int, Field(strict=True, ge=0, le=10**12, description="micro-units for a million tokens")]


class PricesBody(Body):
    """What a million tokens cost."""

    input_micro: PerMillion = 0
    cached_micro: PerMillion = 0
    output_micro: PerMillion = 0


class NewModel(Body):
    """A model to be."""

    name: Name
    server: Annotated[str, Field(pattern=r"^[a-z]{1,16}$", description="vllm, llamacpp or url")]
    source: Annotated[Text, Field(min_length=1, max_length=1_024)] = Field(
        description="`builtin`, a whole path, hub:ORG/NAME[:FILE], or the base URL of an outside server"
    )
    checksum: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$", description="SHA-256 of the weights; empty: not checked")] = ""
    context_length: Annotated[int, Field(ge=0, le=100_000_000, description="tokens; 0: as the weights say")] = 0
    aliases: Annotated[tuple[Alias, ...], Field(max_length=32)] = ()
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    prices: PricesBody = PricesBody()
    options: Annotated[dict[OptionName, OptionValue] | None, Field(max_length=32)] = None
    sites: Annotated[tuple[Label, ...], Field(max_length=64, description="where replicas may run; empty: anywhere")] = ()

    def model(self, now_us: int) -> Model:
        """In our words."""
        fields = self.model_dump(exclude={"prices", "aliases", "sites", "name", "options"})
        prices = TokenPrices(**self.prices.model_dump())
        return Model(
            name=ModelName(self.name),
            created_us=now_us,
            prices=prices,
            aliases=tuple(self.aliases),
            sites=tuple(self.sites),
            options=self.options or {},
            **fields,
        )


class ServingBody(Body):
    """How many replicas are kept of a model for a tier."""

    replicas_min: Annotated[int, Field(ge=0, le=1_000)] = 1
    replicas_max: Annotated[int, Field(ge=0, le=1_000, description="0: none is kept any more")] = 1
    gpus: Annotated[int, Field(ge=1, le=64, description="of each replica")] = 1
    pool: Label | None = None
    bid_micro: Micro | None = Field(default=None, description="most for a GPU-hour; null: as for any lease")
    tenant: Name = HOUSE
    secret: Annotated[Text, Field(max_length=512)] = Field(default="", description="the key of an outside server")


class ServingView(BaseModel):
    """How a model is served for a tier."""

    tier: TierName
    lease_class: str
    tenant: str
    replicas_min: int
    replicas_max: int
    gpus: int
    pool: str | None
    bid_micro: int | None
    failures: int
    detail: str = Field(description="why there are fewer replicas than wanted")

    @classmethod
    def of(cls, serving: Serving) -> "ServingView":
        """As the API shows it."""
        from_value = {name: getattr(serving, name) for name in cls.model_fields if name != "lease_class"}
        return cls(lease_class=TIER_CLASS[serving.tier], **from_value)


class ReplicaView(BaseModel):
    """One run of a server program."""

    id: str
    tier: TierName
    state: Literal["starting", "ready", "draining", "gone"]
    since_us: int
    lease: str | None
    url: str
    site: str
    slots: int
    busy: int
    queued: int
    progress: str

    @classmethod
    def of(cls, replica: Replica) -> "ReplicaView":
        """As the API shows it, without the secret."""
        return cls(**{name: getattr(replica, name) for name in cls.model_fields})


class ModelView(BaseModel):
    """A model."""

    name: str
    server: str
    source: str
    checksum: str
    context_length: int
    aliases: list[str]
    currency: str
    prices: TokenPrices
    options: dict[str, bool | int | float | str]
    sites: list[str]
    created_us: int
    path: str = Field(description="where the weights lie; empty: not there yet, or none are needed")
    available: bool = Field(description="its weights are there, or none are needed")
    detail: str = Field(description="how far the weights are, or what is wrong with them")

    @classmethod
    def of(cls, model: Model) -> "ModelView":
        """As the API shows it."""
        names = set(cls.model_fields) - {"available", "aliases", "sites", "options"}
        return cls(
            available=bool(model.path) or model.source.startswith("http"),
            aliases=list(model.aliases),
            sites=list(model.sites),
            options=dict(model.options),
            **{name: getattr(model, name) for name in names},
        )


class ModelState(ModelView):
    """A model with everything that serves it."""

    servings: list[ServingView]
    replicas: list[ReplicaView]
    waits: dict[str, str] = Field(description="leases that wait, and why")

    @classmethod
    def shown(cls, found: Shown) -> "ModelState":
        """As the API shows it."""
        return cls(
            **ModelView.of(found.model).model_dump(),
            servings=[ServingView.of(one) for one in found.servings],
            replicas=[ReplicaView.of(one) for one in found.replicas],
            waits=dict(found.waits),
        )


class ModelList(BaseModel):
    """All models."""

    items: list[ModelState]


@router.get("", dependencies=_LOOKING)
def everything(call: Calling) -> ModelList:
    """All models with what serves them."""
    with call.read() as tx:
        return ModelList(items=[ModelState.shown(models.show(tx, one.name)) for one in store.everything(tx)])


@router.post("", status_code=201, dependencies=_OWNER, response_model=ModelView)
def add(body: NewModel, call: Posting) -> Response:
    """Add a model. Its weights are looked at now; what has to be fetched is fetched before any lease is asked for."""
    return call.once(lambda tx: ModelView.of(models.add(tx, call.plane.premises, body.model(call.now_us))), status=201)


@router.get("/{model}", dependencies=_LOOKING)
def show(model: InPath, call: Calling) -> ModelState:
    """One model with everything that serves it."""
    with call.read() as tx:
        return ModelState.shown(models.show(tx, model))


@router.delete("/{model}", dependencies=_OWNER)
def remove(model: InPath, call: Calling) -> ModelView:
    """Forget a model that is not served any more."""
    with call.write() as tx:
        return ModelView.of(models.remove(tx, model, now_us=call.now_us))


@router.put("/{model}/servings/{tier}", dependencies=_OWNER)
def serve(model: InPath, tier: TierName, body: ServingBody, call: Calling) -> ModelState:
    """Keep so many replicas for a tier, each as a lease: spot for flex, guarded for default, dedicated for priority."""
    wanted = Serving(
        model=ModelName(model),
        tier=Tier(tier),
        tenant=TenantId(body.tenant),
        replicas_min=body.replicas_min,
        replicas_max=body.replicas_max,
        gpus=body.gpus,
        pool=None if body.pool is None else PoolId(body.pool),
        bid_micro=body.bid_micro,
    )
    plane = call.plane
    with call.write() as tx:
        models.serve(
            tx, call.forecaster, plane.premises, plane.engine.capabilities, wanted, secret=body.secret, now_us=call.now_us
        )
        return ModelState.shown(models.show(tx, model))
