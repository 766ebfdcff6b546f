"""Sending webhooks: at least once, bounded, and never in the way of the loops.

Whoever announces something writes it to the outbox in the transaction of the step; a thread of its own sends it. A receiver
that is slow or away delays its own messages only.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import structlog

from sublet.app.addresses import callable_url
from sublet.app.metrics import Metrics
from sublet.core.units import MINUTE_US, SECOND_US
from sublet.store import webhooks
from sublet.store.database import Database
from sublet.store.leadership import Fenced
from sublet.store.webhooks import Webhook

BATCH = 32
TRIES_MAX = 10
TIMEOUT_S = 3.0
_FIRST_WAIT_US = SECOND_US
_LONGEST_WAIT_US = 10 * MINUTE_US
_SENDERS = 8
_log = structlog.get_logger()


def deliver(database: Database, *, now_us: int, client: httpx.Client, metrics: Metrics | None = None) -> int:
    """Send what is due, at most one batch, and record what became of it; how many were tried.

    A crash between sending and recording sends again: the receiver sees the same `Idempotency-Key`.
    """
    with database.read() as tx:
        due = webhooks.due(tx, now_us=now_us, limit=BATCH)
    if not due:
        return 0
    with ThreadPoolExecutor(_SENDERS) as senders:
        tried = list(senders.map(lambda webhook: _tried(webhook, client, now_us), due))
    with database.write() as tx:
        webhooks.save_all(tx, tried)
    if metrics is not None:
        for webhook in tried:
            metrics.webhook(_outcome(webhook))
    return len(tried)


def _tried(webhook: Webhook, client: httpx.Client, now_us: int) -> Webhook:
    error = _send(webhook, client)
    tries = webhook.tries + 1
    if error is None:
        return replace(webhook, tries=tries, done_us=now_us, error=None)
    hopeless = tries >= TRIES_MAX or not callable_url(webhook.url)
    wait = min(_FIRST_WAIT_US * 2 ** (tries - 1), _LONGEST_WAIT_US)
    _log.warning("webhook_failed", webhook=webhook.id, url=webhook.url, tries=tries, error=error, given_up=hopeless)
    return replace(webhook, tries=tries, error=error, due_us=now_us + wait, done_us=now_us if hopeless else None)


def _send(webhook: Webhook, client: httpx.Client) -> str | None:
    """What went wrong; None when the receiver took it."""
    if not callable_url(webhook.url):
        return "only http:// and https:// addresses are called"
    headers = {"Content-Type": "application/json", "Idempotency-Key": webhook.id, "User-Agent": "sublet"}
    try:
        answer = client.post(webhook.url, content=webhook.body, headers=headers, timeout=TIMEOUT_S, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{type(error).__name__}: {error}"[:500]
    return None if answer.is_success else f"the receiver answered {answer.status_code}"


def _outcome(webhook: Webhook) -> str:
    if webhook.done_us is None:
        return "retried"
    return "delivered" if webhook.error is None else "abandoned"


class Courier:
    """The thread that empties the outbox."""

    def __init__(self, database: Database, now_us: Callable[[], int], metrics: Metrics, *, every_s: float = 0.5) -> None:
        """`now_us` is the clock's; `every_s` is how often it looks when there is nothing to do."""
        self._database, self._now_us, self._metrics, self._every_s = database, now_us, metrics, every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch at hand."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * TIMEOUT_S)

    def _run(self) -> None:
        limits = httpx.Limits(max_connections=_SENDERS)
        with httpx.Client(limits=limits, trust_env=False) as client:
            while not self._stop.is_set():
                tried = 0
                try:
                    tried = deliver(self._database, now_us=self._now_us(), client=client, metrics=self._metrics)
                except Fenced:
                    return  # another leader's courier sends them
                except Exception:  # noqa: BLE001 (a loop's top: the next pass tries again)
                    _log.exception("courier_failed")
                if tried < BATCH:
                    self._stop.wait(self._every_s)
