"""The erasure of a person's name: in the register, and told in the journal of every station by who did it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, or_, select

from swap.errors import InvalidInput, NotFound
from swap.events import append_event
from swap.identity.accounts import erase_account
from swap.messages.events import PersonErased
from swap.register.persons import PREFIX, erase_person, person_actor, person_name
from swap.store import Store
from swap.tables import Person, Station
from swap.words import N_


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure has done."""

    person_id: str
    done: bool
    """False where the name had been erased before: nothing was changed then, and nothing told."""
    stations: tuple[str, ...]
    """Stations whose journals tell of it."""


def erase(store: Store, person: str, *, by: str, at: datetime) -> Erasure:
    """Erase the name of a person, and the account. What the person did stays on record under the id.

    Args:
        person: the name, or the id.
        by: the person who does it, another one.
        at: real UTC; a station whose own time runs ahead takes its own.

    Raises:
        NotFound: no such person.
        InvalidInput: `by` is no name, or the name that is to be erased; the last administrator would be gone.
    """
    by = person_name(by)
    with store.reading() as whole:
        found = _found(whole, person)
        person_id = found.id
        if found.erased_at is not None:
            return Erasure(person_id, False, ())
        if found.name == by:
            raise InvalidInput("by", by, N_("the name of another person than the one that is erased"))
        stations = tuple(whole.exec(select(Station.id).order_by(col(Station.id))).all())
    with store.identity() as people:
        erase_account(people, person_id, actor="command_line", at=at)
    if not stations:
        with store.transaction() as whole:
            erase_person(whole, person_id, at)
    for station_id in stations:  # the name goes with the first of them, in one transaction with the event
        with store.station(station_id) as db:
            newest = db.newest_event()
            told_at = at if newest is None else max(at, newest.at)
            actor = person_actor(db, by, told_at)
            erase_person(db, person_id, at)
            append_event(db, PersonErased(person=PREFIX + person_id), station_id=station_id, at=told_at, actor=actor)
    return Erasure(person_id, True, stations)


def _found(db: Session, person: str) -> Person:
    name = " ".join(person.split())
    found = db.exec(select(Person).where(or_(Person.id == name.removeprefix(PREFIX), Person.name == name))).first()
    if found is None:
        raise NotFound("person", person)
    return found
