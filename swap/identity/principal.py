"""Who asks: a signed-in person, a machine with a key, or nobody known. And what of it all that one sees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from swap.identity.errors import NotAllowed, NotSignedIn
from swap.identity.rights import Right, Role


class Sight(StrEnum):
    """Whose rows are seen."""

    EVERYTHING = "everything"
    STATIONS = "stations"
    """Everything of the stations that the organisation operates."""
    FLEET = "fleet"
    """What concerns the organisation's vehicles, and bills that it pays."""
    PAYEE = "payee"
    """The organisation's packs, and what is paid to it."""
    FIRM = "firm"
    """Contracts, charges, invoices and accounts to which the organisation is a party, at whatever station."""


@dataclass(frozen=True, slots=True)
class View:
    """Whose rows somebody sees in one operation. `swap.identity.view` narrows sessions by it."""

    sight: Sight
    organisation_id: str = ""
    station_ids: frozenset[str] = frozenset()
    vehicle_ids: frozenset[str] = frozenset()
    """Of a fleet's vehicles these only; empty: all of them."""


EVERYTHING = View(Sight.EVERYTHING)
"""For what the program itself reads, and shows to everybody."""

STATION_OPERATOR, BATTERY_OWNER, FLEET, ENERGY_SELLER = "station_operator", "battery_owner", "fleet", "energy_seller"
SUPERVISOR, PLATFORM = "supervisor", "platform"

ROLES_OF: dict[str, frozenset[Role]] = {
    STATION_OPERATOR: frozenset(
        {
            Role.ADMINISTRATOR,
            Role.STATION_OPERATOR,
            Role.SHIFT_WORKER,
            Role.SAFETY_OFFICER,
            Role.ACCOUNTANT,
            Role.PLANNER,
            Role.SUPERVISOR,
        }
    ),
    FLEET: frozenset({Role.FLEET_OPERATOR, Role.DRIVER, Role.ACCOUNTANT, Role.PLANNER}),
    BATTERY_OWNER: frozenset({Role.BATTERY_OWNER, Role.ACCOUNTANT, Role.PLANNER}),
    ENERGY_SELLER: frozenset({Role.ACCOUNTANT}),
    SUPERVISOR: frozenset({Role.SUPERVISOR}),
    PLATFORM: frozenset({Role.ADMINISTRATOR, Role.ACCOUNTANT, Role.PLANNER}),
}
"""Roles that people and keys of an organisation may have, by its kind."""


class PrincipalKind(StrEnum):
    """Who a principal is."""

    PERSON = "person"
    MACHINE = "machine"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    kind: PrincipalKind
    id: str = ""
    """Of the account or key."""
    name: str = ""
    """The person's, or the key's."""
    actor: str = ""
    """As records of changes have it."""
    organisation_id: str = ""
    organisation_kind: str = ""
    station_ids: frozenset[str] = frozenset()
    """Stations of the organisation that it is let into."""
    vehicle_ids: frozenset[str] = frozenset()
    """Vehicles of the organisation that it sees; empty: all of them."""
    roles: frozenset[Role] = frozenset()
    scopes: frozenset[str] = frozenset()
    """Of a key; a person needs none."""
    family_id: str = ""
    """The sign-in that the token came of."""

    def view(self, operation: str, right: Right) -> View:
        """What this principal sees in an operation.

        Raises:
            NotSignedIn: nobody is known, and not anybody may do it.
            NotAllowed: no role, or no scope of a key, reaches so far.
        """
        if self.kind is PrincipalKind.NOBODY:
            if right.anyone:
                return EVERYTHING
            raise NotSignedIn
        if self.kind is PrincipalKind.MACHINE and not right.anyone and right.scope not in self.scopes:
            raise NotAllowed(operation)
        if right.anyone or self.roles & right.every:
            return EVERYTHING
        if self.roles & right.station and self.organisation_kind == STATION_OPERATOR:
            return View(Sight.STATIONS, self.organisation_id, self.station_ids)
        if self.roles & right.own:
            return self._own()
        raise NotAllowed(operation)

    def _own(self) -> View:
        if self.organisation_kind == STATION_OPERATOR:
            return View(Sight.STATIONS, self.organisation_id, self.station_ids)
        if self.organisation_kind == FLEET:
            return View(Sight.FLEET, self.organisation_id, vehicle_ids=self.vehicle_ids)
        return View(Sight.PAYEE, self.organisation_id)


NOBODY = Principal(PrincipalKind.NOBODY)
