"""Requests and tokens a minute: a bucket each for a tenant, filled steadily, emptied by what is asked and corrected afterwards.

Each gateway keeps its own. A request takes what it may use at most; what it did not use is put back when it is over.
"""

from dataclasses import dataclass
from time import monotonic

from sublet.gateway.refusals import too_often


@dataclass(frozen=True, slots=True)
class Rates:
    """What a tenant may ask a minute."""

    requests: int
    tokens: int


class Bucket:
    """So much a minute, and never more than that in store."""

    __slots__ = ("_at", "_left", "per_min")

    def __init__(self, per_min: int, now: float) -> None:
        self.per_min, self._left, self._at = per_min, float(per_min), now

    def left(self, now: float) -> float:
        """What may be taken at once."""
        self._left = min(float(self.per_min), self._left + (now - self._at) * self.per_min / 60)
        self._at = now
        return self._left

    def take(self, amount: int, now: float) -> float:
        """Take it and return 0, or leave all as it is and return for how many seconds to wait.

        Who wants more than there ever is has to wait for all of it.
        """
        wanted = min(amount, self.per_min)
        missing = wanted - self.left(now)
        if missing > 0:
            return missing * 60 / self.per_min
        self._left -= amount
        return 0.0

    def give(self, amount: int) -> None:
        """Put back what was not used."""
        self._left = min(float(self.per_min), self._left + amount)

    def full_in_s(self, now: float) -> float:
        """When all of it is there again."""
        return max(0.0, self.per_min - self.left(now)) * 60 / self.per_min

    def change(self, per_min: int, now: float) -> None:
        """From now on so much a minute."""
        if per_min != self.per_min:
            self.left(now)
            self.per_min, self._left = per_min, min(self._left, float(per_min))


class Limits:
    """One tenant's buckets."""

    __slots__ = ("requests", "tokens")

    def __init__(self, rates: Rates) -> None:
        now = monotonic()
        self.requests, self.tokens = Bucket(rates.requests, now), Bucket(rates.tokens, now)

    def change(self, rates: Rates) -> None:
        """Other rates from now on."""
        now = monotonic()
        self.requests.change(rates.requests, now)
        self.tokens.change(rates.tokens, now)

    def take(self, tokens: int) -> None:
        """One request of at most so many tokens; raises `Refusal` when one of the limits is reached."""
        now = monotonic()
        if wait := self.requests.take(1, now):
            refusal = too_often("requests", self.requests.per_min, wait)
            refusal.headers |= self.headers()
            raise refusal
        if wait := self.tokens.take(tokens, now):
            self.requests.give(1)
            refusal = too_often("tokens", self.tokens.per_min, wait)
            refusal.headers |= self.headers()
            raise refusal

    def headers(self) -> dict[str, str]:
        """What OpenAI's clients read of it."""
        now = monotonic()
        requests, tokens = self.requests, self.tokens
        return {
            "x-ratelimit-limit-requests": str(requests.per_min),
            "x-ratelimit-limit-tokens": str(tokens.per_min),
            "x-ratelimit-remaining-requests": str(max(0, int(requests.left(now)))),
            "x-ratelimit-remaining-tokens": str(max(0, int(tokens.left(now)))),
            "x-ratelimit-reset-requests": f"{requests.full_in_s(now):.3f}s",
            "x-ratelimit-reset-tokens": f"{tokens.full_in_s(now):.3f}s",
        }
