"""What a process that is killed does; imported once by the server that such processes are forked from."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from alertkit import START, Receiver, publish, rules
from apprise import Apprise
from sqlalchemy import event

from indexer.alerts.deliver import deliver
from indexer.alerts.evaluate import evaluate
from indexer.store.db import open_store
from indexer.store.levels import read_latest_level
from indexer.times import HOUR_US, to_us

Apprise().add("json://127.0.0.1")  # reads all of its services, which takes a second
HOURS = 24


def wave(hour: int) -> float:
    """Four hours below 1000, four above."""
    return 950.0 if hour // 4 % 2 else 1050.0


def work_until_killed(path: Path, url: str, commits: int) -> None:
    """Publish, evaluate and deliver hour by hour; killed when it is about to commit for the so-manieth time."""
    store = open_store(f"sqlite:///{path / 'deai.sqlite'}")
    left = [commits]

    @event.listens_for(store.engine, "commit")
    def count(connection: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    low = '[[rule]]\nname = "low"\nkind = "level"\nbelow = 1000\n'
    alerts = rules(low, Receiver(url), chat=True)
    newest = read_latest_level(store, "deai")
    hour = 0 if newest is None else (int(newest.times_us[-1]) - to_us(START)) // HOUR_US + 1

    def step(clock: Callable[[], datetime]) -> None:
        evaluate(store, alerts, now=clock())
        deliver(store, alerts, clock=clock, private=True)

    for number in range(hour, HOURS):
        at = publish(store, [wave(number)])
        step(lambda at=at: at)
    for late in range(26):  # the last try of a webhook is due three days later
        step(lambda late=late: START + timedelta(hours=HOURS + 3 * late))
    store.close()
