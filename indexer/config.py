"""One `Settings`: every setting, described, with a default that works on a fresh machine.

Read from the environment (prefix `DEAI_`) and an optional `.env`; nothing is read at import. An unknown
`DEAI_…` variable is refused with a "did you mean", because a typo that is silently ignored is worse.
The program's own log is set up here too: stderr, one event a line, JSON when no person is watching.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import structlog
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from indexer.errors import ConfigError, did_you_mean

PREFIX = "DEAI_"
RENAMED = {"DEAI_HISTORY_DAYS": "set DEAI_HISTORY_SINCE to the first day you want, e.g. 2024-01-01"}


@cache
def program_version() -> str:
    """The version of this distribution, 0 where it is not installed."""
    try:
        return version("deai-index")
    except PackageNotFoundError:
        return "0"


class Settings(BaseSettings):
    """The settings of one process. Make it with `load_settings()`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    data_dir: Path = Field(Path("var"), description="Where the store, archive and caches live.")
    database_url: str = Field("", description="SQLAlchemy URL of the store; empty means SQLite in the data directory.")
    head_file: Path | None = Field(
        None, description="Keep the head of the chain of seals in this file too, best on another disk."
    )
    methodology_dir: Path | None = Field(None, description="A folder of your own index TOML files.")
    registry: Path | None = Field(None, description="Your own asset registry instead of the shipped one.")
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 picks a free one.")
    root_path: str = Field("", description="Path prefix when served behind a proxy, e.g. /deai.")
    sources: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Sources to use, comma separated; empty means every keyless one that may be used; none means none.",
    )
    user_agent: str = Field("", description="What requests to sources call themselves, if not our own name.")
    source_base_url: str = Field(
        "",
        description="Send every source's requests to <address>/<source>, chains' to <address>/chain/…/<operator>.",
    )
    update_minutes: int = Field(60, ge=1, description="How often the scheduler updates the index.")
    fixing_method: Literal["partition-vwm/2", "linear-twap/2"] = Field(
        "partition-vwm/2", description="How an hour of the venues' minutes becomes a rate; said with every rate."
    )
    history_since: date = Field(
        date(2023, 1, 1), description="The first day that live sources fill a fresh store from; the indices' base date."
    )
    onchain: bool = Field(True, description="Read supplies and pool prices from chains every six hours.")
    onchain_activity: bool = Field(
        False, description="Read each day's transfers too: thousands of requests a day, endpoints of your own advised."
    )
    rpc_endpoints: SecretStr = Field(
        SecretStr(""), description="Own endpoints, tried first: ethereum=https://one https://two; base=https://three."
    )
    rpc_confirm: int = Field(2, ge=1, le=5, description="How many endpoints of a chain must agree on a number.")
    chains_file: Path | None = Field(None, description="Your own chains (TOML, as onchain/chains.toml), added.")
    supply_rules: Path | None = Field(None, description="Your own supply rules (TOML, as onchain/tokens.toml), added.")
    archive_days: int = Field(2555, ge=1, description="How long raw answers are kept (7 years).")
    coingecko_api_key: SecretStr | None = Field(None, description="CoinGecko demo key; optional.")
    read_keys: bool = Field(False, description="Ask for a key for reads too, from this machine as well.")
    admin_key: SecretStr | None = Field(None, description="One more key for admin routes.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses or networks of proxies whose X-Forwarded-For and -Proto count, comma separated."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names this server answers to (Host header), comma separated; empty means any."
    )
    alerts: Path | None = Field(
        None, description="Your alert rules and targets (TOML); alerts.toml in the data directory when not given."
    )
    alerts_private: bool = Field(False, description="Let webhooks go to private and loopback addresses too.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Log level.")

    @field_validator("sources", "trusted_proxies", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @property
    def store_url(self) -> str:
        """The store's SQLAlchemy URL: `database_url`, or SQLite beside the other data."""
        return self.database_url or f"sqlite:///{self.data_dir / 'deai.sqlite'}"

    @property
    def head_in_use(self) -> Path | None:
        """Where the head of the seals is kept too: in the data directory where a database server has no folder."""
        return self.head_file or (self.data_dir / "deai.head" if self.database_url else None)

    @property
    def alerts_file(self) -> Path:
        """The file of alert rules, which need not be there."""
        return self.alerts or self.data_dir / "alerts.toml"

    def for_demo(self) -> Settings:
        """The same settings with a store of its own for the simulated market, which never mixes with a real one."""
        return self.model_copy(
            update={"database_url": f"sqlite:///{self.data_dir / 'demo.sqlite'}", "methodology_dir": None}
        )


def load_settings(**overrides: object) -> Settings:
    """The settings from the environment; `overrides` (command-line options) win when not None.

    Raises ConfigError naming the variable, what is wrong with it and, for an unknown one, the closest known.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    for name in unknown:
        if name in RENAMED:
            raise ConfigError(f"{name} is not a setting any more: {RENAMED[name]}")
    if unknown:
        raise ConfigError(f"{unknown[0]} is not a setting.{did_you_mean(unknown[0], known)}")
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # validated here, whatever its type
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + ".".join(map(str, first["loc"])).upper()
        raise ConfigError(f"{name}: {first['msg']} (got {first['input']!r})") from None


def configure_logs(level: str) -> None:
    """Send structlog's events of this level and above to stderr; stdout belongs to answers."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # the stderr of the moment: tests replace it
        cache_logger_on_first_use=False,
    )
    # A tick that is left out while the one before still works is how it is meant, not a warning.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
