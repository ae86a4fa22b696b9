"""What the journal tells of itself: a new epoch after a restore, a part that was put into a file."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from swap.journal.chain import EPOCH_KIND
from swap.messages.base import Event, Instant, Message


class JournalHead(Message):
    """The newest event of a journal that is known outside of the table."""

    epoch: int
    seq: int
    hash: str


class JournalEpoch(Event):
    """The database was restored from a copy; the event's actor is the person. What the copy did not hold is gone."""

    kind: ClassVar = EPOCH_KIND
    from_epoch: int
    """The head that the copy ended with."""
    from_seq: int
    from_hash: str
    lost: JournalHead | None
    """The newest head known outside of the copy; None where none is known."""
    copy_name: str = Field(alias="copy")


class JournalArchived(Event):
    """The oldest events of this journal, up to a number, were put into a file by a named person. Most of them are
    taken out of the database then; those that the station still asks for stay as well."""

    kind: ClassVar = "journal.archived"
    first_seq: int
    last_seq: int
    prev_hash: str
    """Hash of the event before the first."""
    last_hash: str
    """Hash of the last: what follows is chained to it."""
    last_epoch: int
    until_at: Instant
    """Newest instant of an event in the file."""
    file: str
    """Its name, without the folder."""
    sha256: str
    """Of the file, in hex."""
