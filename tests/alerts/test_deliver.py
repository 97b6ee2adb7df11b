"""Delivery over real sockets: signatures that the libraries accept, the schedule, who is refused, and SIGKILL."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from alertkit import SECRET, START, Receiver, new_store, publish, rules
from fastapi.testclient import TestClient
from generated_tools import node_tools, run
from killed import HOURS, wave, work_until_killed
from standardwebhooks import Webhook
from typer.testing import CliRunner

from api.app import create_app
from api.middleware.keys import KeyRing, Scope
from indexer.alerts import deliver as delivery
from indexer.alerts.deliver import WAITS_S, alerting, deliver, is_public
from indexer.alerts.evaluate import evaluate
from indexer.cli import app
from indexer.config import Settings
from indexer.store.administration import read_alert_messages, revive_alert_messages
from indexer.store.db import Store
from indexer.store.tables import AlertMessage
from indexer.times import utc_now

LOW = '[[rule]]\nname = "low"\nkind = "level"\nbelow = 1000\n'
VERIFY = """
import { Webhook } from "standardwebhooks";
const { secret, body, headers } = JSON.parse(process.argv[2]);
const event = new Webhook(secret).verify(body, headers);
console.log(event.type);
"""


def crossed(store: Store, receiver: Receiver, *, chat: bool = False):
    """Alerts whose one rule was crossed."""
    alerts = rules(LOW, receiver, chat=chat)
    evaluate(store, alerts, now=publish(store, [900.0]))
    return alerts


def fate(store: Store) -> AlertMessage:
    [message] = read_alert_messages(store, limit=9)
    return message


def test_pip_accepts_the_signature_whatever_zone_the_clock_is_in(store: Store, receiver: Receiver) -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    alerts = crossed(store, receiver)
    assert deliver(store, alerts, clock=lambda: datetime.now(tokyo), private=True) == 1
    [(headers, body)] = receiver.requests
    assert fate(store).outcome == "sent"
    event = Webhook(SECRET).verify(body, headers)
    assert (event["type"], event["data"]["state"]) == ("alert.threshold.crossed", "below")


@pytest.mark.generated
def test_npm_accepts_the_signature(store: Store, receiver: Receiver, tmp_path: Path) -> None:
    deliver(store, crossed(store, receiver), clock=utc_now, private=True)
    [(headers, body)] = receiver.requests
    (tmp_path / "node_modules").symlink_to(node_tools() / "node_modules")
    (tmp_path / "verify.mjs").write_text(VERIFY)
    given = json.dumps({"secret": SECRET, "body": body.decode(), "headers": headers})
    assert run(["node", "verify.mjs", given], folder=tmp_path).strip() == "alert.threshold.crossed"


def test_a_webhook_is_tried_on_the_schedule_under_one_id_then_it_is_dead(store: Store, receiver: Receiver) -> None:
    alerts, now = crossed(store, receiver), START
    receiver.answers = [(500, {})] * 9 + [(302, {"location": f"{receiver.url}/elsewhere"})]
    for wait in WAITS_S:
        if wait:
            assert (
                deliver(store, alerts, clock=lambda now=now, w=wait: now + timedelta(seconds=0.85 * w), private=True)
                == 0
            )
            now += timedelta(seconds=1.1 * wait)
        assert deliver(store, alerts, clock=lambda now=now: now, private=True) == 1
    assert deliver(store, alerts, clock=lambda: now + timedelta(days=9), private=True) == 0
    assert (len(receiver.ids), len({*receiver.ids})) == (10, 1)
    assert len({headers["webhook-timestamp"] for headers, _ in receiver.requests}) == 10, "each try is signed anew"
    assert (fate(store).outcome, fate(store).answer) == ("dead", "HTTP 302; only 2xx counts")


@pytest.mark.parametrize(("status", "outcome", "rest_s"), [(429, "waiting", 1000.0), (410, "dead", None)])
def test_a_receiver_is_obeyed(
    store: Store, receiver: Receiver, status: int, outcome: str, rest_s: float | None
) -> None:
    alerts = crossed(store, receiver)
    receiver.answers = [(status, {"retry-after": "1000"})]
    deliver(store, alerts, clock=lambda: START, private=True)
    assert fate(store).outcome == outcome
    assert fate(store).due_at == (None if rest_s is None else START + timedelta(seconds=rest_s))


def test_one_that_cannot_be_sent_keeps_no_other_back(store: Store, receiver: Receiver) -> None:
    hook = f'[[target]]\nname = "odd"\nurl = "https://{"x" * 70}.example"\nsecret = "{SECRET}"\n'
    alerts = rules(LOW + hook, receiver)
    evaluate(store, alerts, now=publish(store, [900.0]))
    deliver(store, alerts, clock=lambda: START, private=True)
    fates = {row.target: row.outcome for row in read_alert_messages(store, limit=9)}
    assert fates == {"hook": "sent", "odd": "dead"}


def test_private_addresses_are_refused_unless_allowed(store: Store, receiver: Receiver) -> None:
    alerts = crossed(store, receiver)
    deliver(store, alerts, clock=lambda: START, private=False)
    assert receiver.requests == []
    assert (fate(store).outcome, "not a public address" in fate(store).answer) == ("dead", True)
    assert revive_alert_messages(store, "hook", now=START) == 1
    deliver(store, alerts, clock=lambda: START, private=True)
    assert (fate(store).outcome, len(receiver.ids)) == ("sent", 1)
    assert revive_alert_messages(store, "hook", now=START) == 0


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "::1", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1",
     "64:ff9b:1::7f00:1", "fec0::1", "::7f00:1"],
)  # fmt: skip
def test_no_inner_address_is_public(address: str) -> None:
    assert not is_public(ip_address(address))
    assert is_public(ip_address("1.1.1.1")) and is_public(ip_address("2606:4700::1111"))


async def test_a_name_is_connected_to_where_it_was_checked(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = crossed(store, receiver)
    target = alerts.targets[0]
    named = type(target)("hook", target.url.replace("127.0.0.1", "rebound.example"), SECRET)
    looked_up: list[str] = []

    async def address_of(host: str, port: int, *, private: bool) -> str:
        looked_up.append(host)
        return "127.0.0.1"

    monkeypatch.setattr(delivery, "_address_of", address_of)
    assert await delivery.send(named, fate(store), at=utc_now(), private=False) == "HTTP 204"
    assert looked_up == ["rebound.example"]
    assert receiver.requests[0][0]["host"].startswith("rebound.example:")


def test_a_chat_message_goes_by_apprise_and_is_tried_again_only_when_it_was_refused(
    store: Store, receiver: Receiver
) -> None:
    alerts = crossed(store, receiver, chat=True)
    receiver.answers = [(500, {}), (500, {})]
    deliver(store, alerts, clock=lambda: START, private=True)
    deliver(store, alerts, clock=lambda: START + timedelta(seconds=6), private=True)
    assert (len(receiver.ids), len(receiver.chats)) == (2, 2)
    assert {row.outcome for row in read_alert_messages(store, limit=9)} == {"sent"}
    assert json.loads(receiver.chats[-1])["message"] == "deai is 900.00, below 1,000.00 (2026-01-01T00:00:00Z)"


@pytest.mark.slow
def test_killed_at_every_commit_no_event_is_lost_and_no_chat_message_comes_twice(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_store(tmp_path).close()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for the server that the processes are forked from
    spawner = multiprocessing.get_context("forkserver")
    spawner.set_forkserver_preload(["killed", "httpx2", "standardwebhooks"])
    exits = []
    for commits in (*range(1, 14), 10_000):
        process = spawner.Process(target=work_until_killed, args=(tmp_path, receiver.url, commits))
        process.start()
        process.join(60)
        exits.append(process.exitcode)
    assert exits == [-9] * 13 + [0]
    crossings = sum(wave(hour) < 1000 <= wave(hour - 1) for hour in range(1, HOURS))
    store = new_store(tmp_path)
    rows = read_alert_messages(store, limit=999)
    store.close()
    hooks, chats = ([row for row in rows if row.target == name] for name in ("hook", "chat"))
    assert len({row.webhook_id for row in hooks}) == len(hooks) == len(chats) == crossings
    assert {*receiver.ids} == {row.webhook_id for row in hooks}
    assert {row.outcome for row in hooks} == {"sent"}
    assert len({*receiver.chats}) == len(receiver.chats), "no chat message twice"
    assert len(receiver.chats) >= sum(row.outcome == "sent" for row in chats)
    assert {row.outcome for row in chats} <= {"sent", "sending"}


def test_beside_a_scheduler_what_is_published_is_told_and_the_owner_reads_it(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LOOK_S", 0.02)
    monkeypatch.setenv("DEAI_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DEAI_ALERTS_PRIVATE", "true")
    store, settings, said = new_store(tmp_path), Settings(), CliRunner()
    assert "whsec_" in said.invoke(app, ["alert", "add", "hook", f"{receiver.url}/x"]).output
    assert (
        "now: index deai has no levels yet" in said.invoke(app, ["alert", "add", "low", "level", "below=1000"]).output
    )
    assert said.invoke(app, ["alert", "test"]).output == "hook: HTTP 204\n"
    receiver.came.clear()
    with alerting(store, settings, clock=utc_now, leads=lambda: True):
        publish(store, [900.0])
        assert receiver.came.wait(20)
    assert json.loads(receiver.requests[0][1])["type"] == "alert.test"
    assert json.loads(receiver.requests[1][1])["type"] == "alert.threshold.crossed"
    listed = json.loads(said.invoke(app, ["alert", "list", "--json"]).output)
    assert (listed["standing"][0]["side"], listed["messages"][0]["outcome"]) == ("below", "sent")
    with TestClient(create_app(store, settings=settings)) as client:
        assert client.get("/v1/alerts").status_code == 401
        _, key = KeyRing(tmp_path / "keys.json").create("me", (Scope.ADMIN,), now=utc_now())
        answer = client.get("/v1/alerts", headers={"x-api-key": key})
    assert answer.json()["data"][0]["name"] == "low"
    [standing] = answer.json()["standing"]
    assert (standing["rule"], standing["subject"], standing["side"]) == ("level:low", "deai", "below")
    assert answer.json()["messages"][0]["webhook_id"] == receiver.ids[1]
    assert "whsec_" not in answer.text and receiver.url not in answer.text
    store.close()
