"""What the settings of the machine say of signing in."""

from __future__ import annotations

from dataclasses import dataclass, field

from swap.identity.throttle import AttemptLimits


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """What signing in depends on."""

    secret: str
    """Of the server; what it makes is good for as long as it stays."""
    development: bool
    """Accounts made for trying out may be used."""
    limits: AttemptLimits = field(default_factory=AttemptLimits)
