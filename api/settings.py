"""What differs between machines: database, station file, where to listen, secret. Read from the environment.

Every name takes the prefix `SWAP_`, so `SWAP_PORT=9000` sets `port`. What a station *is* stands in its
station file, never here. Nothing is read at import time: make a `Settings()` and pass it on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.logs import Level

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
    secret: SecretStr = Field(default=SecretStr(DEVELOPMENT_SECRET), min_length=32)
    """Signs what leaves the process and comes back; at least 32 characters."""
    log_level: Level = "info"
    """The least that is logged; lines of other libraries come from warnings on."""
    speed: float | None = Field(default=None, gt=0, le=1000)
    """Station seconds per real second; None takes 1 with real devices and `SIMULATED_SPEED` with simulated ones."""

    @model_validator(mode="after")
    def _own_secret_in_production(self) -> Self:
        if self.environment != "development" and self.secret.get_secret_value() == DEVELOPMENT_SECRET:
            raise ValueError(
                "SWAP_SECRET is the one every checkout knows; outside development set your own, at least 32 "
                "characters (python -c 'import secrets; print(secrets.token_urlsafe(48))')"
            )
        return self

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
