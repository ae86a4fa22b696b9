"""Persons by id. The journal, requests and faults hold `person:` and the id; the name stands in one table.

So a name can be erased without touching what was written once, and a person who is called "controller" is a person.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import datetime
from typing import Literal

from sqlalchemy import Insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from swap.errors import InvalidInput, NotFound
from swap.messages.values import unfit_character
from swap.tables import Person
from swap.words import N_

PREFIX = "person:"
_ACTOR = re.compile(r"person:[\w-]+")
ERASED = "erased person"
"""Stands for a name that was erased."""
HIDES_STRANGERS = "hides_strangers"
"""Key in `Session.info` of a session that shows the names of the own organisation's people only: what it says of the
others."""
UNNAMED = "-"
"""Stands for a person who has asked for a hold without a sign-in."""


MACHINES = frozenset(
    {"controller", "commerce", "api", "station_file", "simulated fleet", "simulated_fleet", "system", "station", "swap"}
)
"""Names that the journal gives to machines, and those that would be taken for one: no person has them."""


def person_name(value: str) -> str:
    """The trimmed name of the person who asks. Raises InvalidInput when it is none, or a machine's."""
    name = " ".join(value.split())
    if not 1 <= len(name) <= 64 or unfit_character(name) is not None:
        raise InvalidInput("name", value, N_("the name of a person, 1…64 characters"))
    if name.casefold() in MACHINES or name.casefold().startswith(PREFIX):
        raise InvalidInput("name", value, N_("the name of a person, not one of the machines"))
    return name


def person_actor(db: Session, name: str, at: datetime) -> str:
    """How the journal names the person of a name, who is known from now on. Raises InvalidInput for no name."""
    name = person_name(name)
    values = {"id": f"pe-{secrets.token_hex(8)}", "name": name, "known_since_at": at}
    dialect = db.get_bind().dialect.name
    new: Insert
    if dialect == "postgresql":  # writers of two stations may meet the same person at once
        new = postgresql.insert(Person).values(values).on_conflict_do_nothing(index_elements=["name"])
    else:
        new = sqlite.insert(Person).values(values).on_conflict_do_nothing(index_elements=["name"])
    db.execute(new)
    return PREFIX + db.exec(select(Person.id).where(Person.name == name)).one()


def listed_person(value: str, names: Collection[str]) -> str:
    """The trimmed name of a person of a list; of anybody where the list is empty. Raises InvalidInput."""
    name = person_name(value)
    if names and name not in {" ".join(listed.split()) for listed in names}:
        raise InvalidInput("name", value, N_("a name of operation.person_names in the station file"))
    return name


def actor_kind(actor: str) -> Literal["person", "controller", "machine"]:
    """Who an actor is: a person, the controller of the station, or another program."""
    if is_person(actor):
        return "person"
    return "controller" if actor == "controller" else "machine"


def is_person(actor: str) -> bool:
    """Whether an actor is a person, not a machine."""
    return actor.startswith(PREFIX)


def shown_actor(db: Session, actor: str) -> str:
    """An actor as people read it: a person's name, `ERASED` or what stands for a stranger; a machine's own name."""
    if not is_person(actor):
        return actor
    person = db.get(Person, actor.removeprefix(PREFIX))
    if person is None and HIDES_STRANGERS in db.info:
        return str(db.info[HIDES_STRANGERS])
    return ERASED if person is None or person.name is None else person.name


def shown_text(db: Session, text: str) -> str:
    """A text with every person in it as people read it."""
    return _ACTOR.sub(lambda found: shown_actor(db, found[0]), text)


def erase_person(db: Session, person_id: str, at: datetime) -> None:
    """Erase the name of a person; what the person did stays on record. A second time changes nothing.

    Raises:
        NotFound: no such person.
    """
    person = db.get(Person, person_id)
    if person is None:
        raise NotFound("person", person_id)
    if person.erased_at is None:
        person.name, person.erased_at = None, at
        db.add(person)
