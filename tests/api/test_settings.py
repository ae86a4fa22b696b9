"""Settings: read from the environment, strict, and no known secret outside development."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from api.settings import DEVELOPMENT_SECRET, SIMULATED_SPEED, Settings


def test_defaults_need_nothing() -> None:
    settings = Settings()
    assert settings.database_url == "sqlite:///var/swap.db"
    assert (settings.host, settings.port, settings.environment) == ("127.0.0.1", 8080, "development")


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAP_PORT", "9001")
    monkeypatch.setenv("SWAP_DATABASE_URL", "postgresql://db/swap")
    assert Settings().port == 9001
    assert Settings().database_url == "postgresql://db/swap"


def test_the_known_secret_is_refused_in_production() -> None:
    with pytest.raises(ValidationError, match="set your own"):
        Settings(environment="production")
    assert Settings(environment="production", secret="x" * 32).environment == "production"


def test_a_short_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(secret="short-one")
    assert "32" in str(caught.value)
    assert len(DEVELOPMENT_SECRET) >= 32
    assert DEVELOPMENT_SECRET not in repr(Settings())


@pytest.mark.parametrize(
    ("speed", "devices", "expected"),
    [(None, "real", 1.0), (1.0, "real", 1.0), (None, "simulated", SIMULATED_SPEED), (7.0, "simulated", 7.0)],
)
def test_speed(speed: float | None, devices: str, expected: float) -> None:
    assert Settings(speed=speed).speed_for("real" if devices == "real" else "simulated") == expected


def test_real_devices_run_in_real_time() -> None:
    with pytest.raises(ValueError, match="only 1 is allowed"):
        Settings(speed=20).speed_for("real")
