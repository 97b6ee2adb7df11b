"""Looks for new data: drops kept answers and tells the listeners. One task for each application.

Reads only a token while nothing changes; looks more often while somebody listens.
"""

from __future__ import annotations

import asyncio
import logging
import time

from api.deps import Services
from api.live.messages import newest_message
from api.reads import read_version
from indexer.errors import DeaiError

log = logging.getLogger("deai.api")
IDLE_S, LIVE_S, PING_S = 0.5, 0.02, 15.0


async def watch(services: Services) -> None:
    """Runs until cancelled. While the store does not answer, nothing is kept and the failure is logged once."""
    failing, pinged = False, time.monotonic()
    while True:
        try:
            await look(services)
            failing = False
        except DeaiError as error:
            if not failing:
                log.warning("cannot look for new data: %s", error)
            failing = True
            services.hot.publish(None)
        if time.monotonic() - pinged >= PING_S:
            pinged = time.monotonic()
            services.hub.ping()
        await asyncio.sleep(LIVE_S if services.hub.boxes else IDLE_S)


async def look(services: Services) -> None:
    """One look: on a new data version, drops the kept answers and publishes the newest levels."""
    version = await asyncio.to_thread(read_version, services.store)
    if version == services.hot.version:
        return
    services.hot.publish(version)
    for index_id in list(services.hub.boxes):
        message = await asyncio.to_thread(newest_message, services.store, index_id)
        if message is not None:
            services.hub.publish(index_id, message)
