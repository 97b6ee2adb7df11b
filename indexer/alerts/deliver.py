"""Messages on their way: signed webhooks to public addresses only, and chat services by apprise.

Each try is stored before it is made. A process killed in one leaves it so: a webhook is sent again under the same id,
a chat message is not, because nobody could tell whether it had arrived.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import structlog

from indexer.alerts.evaluate import evaluate
from indexer.alerts.rules import Alerts, Target, load_alerts
from indexer.config import Settings
from indexer.errors import ConfigError, DeaiError, SourceRefused, SourceUnavailable
from indexer.store.administration import change_alert_message, read_alert_messages
from indexer.store.db import Store
from indexer.store.runs import last_update
from indexer.store.tables import AlertMessage
from indexer.times import Clock, iso, to_us
from onchain.rpc.limits import retry_after_s

WAITS_S: Final = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each try, as Standard Webhooks advises; a tenth more or less, so that not all come at once."""
TRY_S, AT_ONCE, LOOK_S, EVALUATED_S = 15.0, 32, 2.0, 60.0
GONE = 410
NAT64, UNICAST = IPv6Network("64:ff9b::/96"), IPv6Network("2000::/3")
log = structlog.get_logger(__name__)


@contextmanager
def alerting(store: Store, settings: Settings, *, clock: Clock, leads: Callable[[], bool]) -> Iterator[None]:
    """Evaluate after each publication and each minute, and deliver, on a thread of its own while this process leads."""
    over, watch = threading.Event(), AlertWatch(store, settings, clock=clock)

    def keep() -> None:
        while not over.wait(LOOK_S):
            if leads():
                watch.look()

    thread = threading.Thread(target=keep, name="alerts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class AlertWatch:
    """One process's looks at the rules. What hinders one is logged when it begins, and never stops the others."""

    def __init__(self, store: Store, settings: Settings, *, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._mark: object = None
        self._problems: dict[str, Exception] = {}

    def look(self) -> None:
        """Evaluate when anything was published since the last look, or a minute has gone, then deliver what is due."""
        problems = self._problems
        try:
            alerts = load_alerts(self._settings.alerts_file)
            mark = last_update(self._store, now=self._clock()), time.monotonic() // EVALUATED_S
            if mark != self._mark:
                problems = evaluate(self._store, alerts, now=self._clock())
                self._mark = mark
            deliver(self._store, alerts, clock=self._clock, private=self._settings.alerts_private)
        except Exception as error:  # alerts stop no other work, nor for ever
            problems = {"": error}
        for name, problem in problems.items():
            if str(self._problems.get(name)) != str(problem):
                defect = None if isinstance(problem, DeaiError) else problem
                log.warning("alerts are hindered", rule=name, error=str(problem), exc_info=defect)
        self._problems = problems


def deliver(store: Store, alerts: Alerts, *, clock: Clock, private: bool) -> int:
    """Tries every message that is due, side by side; how many there were."""
    due = read_alert_messages(store, limit=AT_ONCE, due_by=clock())
    targets = {target.name: target for target in alerts.targets}

    async def all_of_them() -> None:
        tries = (_try(store, row, targets.get(row.target), clock=clock, private=private) for row in due)
        for failure in await asyncio.gather(*tries, return_exceptions=True):
            if failure is not None:
                raise failure

    if due:
        asyncio.run(all_of_them())
    return len(due)


async def _try(store: Store, message: AlertMessage, target: Target | None, *, clock: Clock, private: bool) -> None:
    """One try, stored before and after."""
    tries = message.tries + 1
    again = clock() + timedelta(seconds=WAITS_S[tries] * random.uniform(0.9, 1.1)) if tries < len(WAITS_S) else None
    repeats = target is not None and bool(target.secret)
    # killed amid its last try it is tried once more, a day later
    due_at = (again or clock() + timedelta(seconds=WAITS_S[-1])) if repeats else None
    begun = {"tries": tries, "outcome": "sending", "due_at": due_at}
    if not change_alert_message(store, message, after_tries=message.tries, **begun):
        return
    outcome, due_at = "dead", None
    try:
        if target is None:
            raise ConfigError("the target was removed")
        answer, outcome = await send(target, message, at=clock(), private=private), "sent"
    except SourceUnavailable as error:
        answer, rest_s = str(error), min(error.retry_after_s or 0.0, WAITS_S[-1])
        if again is not None:
            outcome, due_at = "waiting", max(again, clock() + timedelta(seconds=rest_s))
    except Exception as error:  # whatever a service or an address raises is this message's end, not the others'
        answer = str(error) or type(error).__name__
    change_alert_message(store, message, after_tries=tries, outcome=outcome, due_at=due_at, answer=answer)


async def send(target: Target, message: AlertMessage, *, at: datetime, private: bool) -> str:
    """What the target answered. Raises SourceUnavailable where trying again may help, else another DeaiError."""
    if target.secret:
        return await _post(target, message, at=at, private=private)
    try:
        from apprise import Apprise
    except ImportError:
        raise ConfigError("chat services need apprise: pip install 'deai-index[alerts]'") from None
    service = Apprise()
    if not service.add(target.url):
        raise ConfigError(f"apprise knows no service by such a {target.scheme}:// address; a webhook has a secret")
    if not await service.async_notify(title=f"DeAI Index: {json.loads(message.body)['type']}", body=message.text):
        raise SourceUnavailable("the service did not take the message, or was not reached")
    return "taken"


def send_tests(targets: Sequence[Target], *, clock: Clock, private: bool) -> list[dict[str, object]]:
    """What each target answers to an event that tells of nothing and is stored nowhere, and whether it took it."""
    now, text = clock(), "A test: alerts of your DeAI Index arrive here."
    body = json.dumps({"type": "alert.test", "timestamp": iso(to_us(now)), "data": {"text": text}})
    common = {"webhook_id": f"msg_test_{to_us(now)}", "rule": "", "created_at": now, "text": text, "body": body}
    tries = []
    for target in targets:
        message = AlertMessage.model_validate({**common, "target": target.name})
        try:
            answer, taken = asyncio.run(send(target, message, at=now, private=private)), True
        except Exception as error:  # as in a real try
            answer, taken = str(error) or type(error).__name__, False
        tries.append({"target": target.name, "taken": taken, "answer": answer})
    return tries


async def _post(target: Target, message: AlertMessage, *, at: datetime, private: bool) -> str:
    """One POST to the webhook, signed for this instant; no redirect is followed, no body read, no proxy asked."""
    import httpx2
    from standardwebhooks import Webhook

    url, stamp = httpx2.URL(target.url), at.astimezone(UTC)  # of another zone the library would sign another second
    headers = {
        "host": url.netloc.decode("ascii"),
        "content-type": "application/json",
        "webhook-id": message.webhook_id,
        "webhook-timestamp": str(int(stamp.timestamp())),
        "webhook-signature": Webhook(target.secret).sign(message.webhook_id, stamp, message.body),
    }
    client = httpx2.AsyncClient(trust_env=False, verify=ssl.create_default_context(), timeout=TRY_S)
    try:
        async with asyncio.timeout(TRY_S), client:
            address = await _address_of(url.host, url.port or (443 if url.scheme == "https" else 80), private=private)
            request = client.build_request(
                "POST", url.copy_with(host=address), content=message.body.encode(), headers=headers,
                extensions={"sni_hostname": url.host},
            )  # fmt: skip
            response = await client.send(request, stream=True)
    except (httpx2.HTTPError, OSError) as error:
        raise SourceUnavailable(f"not delivered: {str(error) or type(error).__name__}") from None
    if response.status_code == GONE:
        raise SourceRefused("HTTP 410: the receiver wants no more; remove the target")
    if not response.is_success:
        wait_s = retry_after_s(response.headers.get("retry-after"), at.timestamp())
        raise SourceUnavailable(f"HTTP {response.status_code}; only 2xx counts", retry_after_s=wait_s)
    return f"HTTP {response.status_code}"


async def _address_of(host: str, port: int, *, private: bool) -> str:
    """The address to connect to: the one that was checked. Raises SourceRefused when any of the name is not public."""
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(str(row[4][0])) for row in rows]
    inner = [address for address in addresses if not is_public(address)]
    if inner and not private:
        raise SourceRefused(f"it leads to {inner[0]}, not a public address; DEAI_ALERTS_PRIVATE=true allows it")
    return str(addresses[0])


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the internet's, also where it is written as another family's."""
    if isinstance(address, IPv6Address):
        translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
        embedded = address.ipv4_mapped or address.sixtofour or translated
        if embedded is not None:
            return is_public(embedded)
        if address not in UNICAST:
            return False
    return address.is_global and not address.is_multicast
