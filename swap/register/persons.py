"""Persons by id. The journal, requests and faults hold `person:` and the id; the name stands in one table.

So a name can be erased without touching what was written once, and a person who is called "controller" is a person.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime

from sqlalchemy import Insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, select

from swap.errors import InvalidInput, NotFound
from swap.tables import Person

PREFIX = "person:"
_ACTOR = re.compile(r"person:[\w-]+")
ERASED = "erased person"
"""Stands for a name that was erased."""


def person_name(value: str) -> str:
    """The trimmed name of the person who asks. Raises InvalidInput when there is none."""
    name = " ".join(value.split())
    if not 1 <= len(name) <= 64:
        raise InvalidInput("name", value, "the name of a person, 1…64 characters")
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


def is_person(actor: str) -> bool:
    """Whether an actor is a person, not a machine."""
    return actor.startswith(PREFIX)


def shown_actor(db: Session, actor: str) -> str:
    """An actor as people read it: a person's name or `ERASED`, a machine's own name."""
    if not is_person(actor):
        return actor
    person = db.get(Person, actor.removeprefix(PREFIX))
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
