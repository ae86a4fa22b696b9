"""What differs between machines: database, station file, where to listen, secret. Read from the environment.

Every name takes the prefix `SWAP_`, so `SWAP_PORT=9000` sets `port`. What a station *is* stands in its
station file, never here. Nothing is read at import time: make a `Settings()` and pass it on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api.logs import Level
from swap.commerce.webhooks.hosts import AllowedHosts
from swap.identity.settings import IdentitySettings
from swap.identity.throttle import AttemptLimits

DEVELOPMENT_SECRET = "a development secret that every checkout knows"
SIMULATED_SPEED = 20.0
"""Station seconds per real second of a simulated station: a swap of five minutes shows in a quarter of one."""


class Settings(BaseSettings):
    """Settings of one process."""

    model_config = SettingsConfigDict(env_prefix="SWAP_", extra="forbid", frozen=True)

    database_url: str = "sqlite:///var/swap.db"
    heads_file: Path | None = None
    """Append-only file that keeps the heads of the journals outside of the database; None stands beside it.
    Put it on another disk or machine than the database."""
    station_file: Path = Path("examples/yangquan_mine/station.toml")
    environment: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    """0 takes a free port."""
    hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names that this server answers to besides those of the loopback and `host`, and pages that may use it: `name` or
    `name:port`, separated by commas."""
    max_connections: int = Field(default=512, ge=8, le=100_000)
    """Connections at a time, WebSockets among them; fewer where the process may not open so many files."""
    requests_a_second: float = Field(default=200.0, gt=0, le=1_000_000)
    """Requests that one caller may send in a second, on and on, in each process. The figure is assumed."""
    requests_at_once: int = Field(default=2_000, ge=1, le=1_000_000)
    """Requests that one caller may send at once after a pause. The figure is assumed."""
    open_console: bool = False
    """The console shows live state, and takes a hold, without a sign-in from everywhere, not only from this machine."""
    attempts_free: int = Field(default=5, ge=1, le=100)
    """Failed attempts in a row at one account, or with one PIN or code, before the first wait."""
    attempts_address_free: int = Field(default=50, ge=1, le=100_000)
    """The same from one address; behind a proxy all clients may have one."""
    attempts_first_wait_s: int = Field(default=60, ge=1, le=86_400)
    """The first wait; each further failure doubles it."""
    attempts_longest_wait_s: int = Field(default=900, ge=1, le=86_400)
    """The longest wait."""
    secret: SecretStr = Field(default=SecretStr(DEVELOPMENT_SECRET), min_length=32)
    """Signs what leaves the process and comes back; at least 32 characters."""
    acquirer_secret: SecretStr | None = Field(default=None, min_length=32)
    """Key that the acquirer signs its calls with; None takes no call. At least 32 characters."""
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts that firms may have their webhooks at, separated by commas: `name`, by HTTPS at port 443, or `name:port`.
    In development this machine may be sent to besides, by HTTP too."""
    log_level: Level = "info"
    """The least that is logged; lines of other libraries come from warnings on."""
    speed: float | None = Field(default=None, gt=0, le=1000)
    """Station seconds per real second; None takes 1 with real devices and `SIMULATED_SPEED` with simulated ones."""

    @field_validator("hosts", "webhook_hosts", mode="before")
    @classmethod
    def _separated(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _own_secret_in_production(self) -> Self:
        if self.environment != "development" and self.secret.get_secret_value() == DEVELOPMENT_SECRET:
            raise ValueError(
                "SWAP_SECRET is the one every checkout knows; outside development set your own, at least 32 "
                "characters (python -c 'import secrets; print(secrets.token_urlsafe(48))')"
            )
        return self

    @property
    def identity(self) -> IdentitySettings:
        """What signing in depends on."""
        limits = AttemptLimits(
            free=self.attempts_free,
            address_free=self.attempts_address_free,
            first_wait_s=self.attempts_first_wait_s,
            longest_wait_s=self.attempts_longest_wait_s,
        )
        return IdentitySettings(self.secret.get_secret_value(), self.environment == "development", limits)

    @property
    def webhook_targets(self) -> AllowedHosts:
        """Where webhooks may be sent."""
        return AllowedHosts(tuple(name.lower() for name in self.webhook_hosts), self.environment == "development")

    @property
    def heads_path(self) -> Path:
        """Where the heads of the journals are kept."""
        from swap.journal.heads import heads_path

        return self.heads_file or heads_path(self.database_url)

    def speed_for(self, devices: Literal["simulated", "real"]) -> float:
        """Speed of the station clock.

        Raises:
            ValueError: another speed than 1 was asked with real devices.
        """
        if devices == "real":
            if self.speed not in (None, 1.0):
                raise ValueError(f"speed = {self.speed:g}: with real devices only 1 is allowed")
            return 1.0
        return SIMULATED_SPEED if self.speed is None else self.speed
