"""What was answered under a caller's `Idempotency-Key`: the same request is answered the same, and done once.

The key is claimed as the first thing in the transaction that does the work, and the answer is written as the last: both
are stored with what was done, or none of it is. A process that dies in between leaves nothing, and the request is done
when it comes again. Two transactions that claim one key at the same time are ordered by the primary key.

After draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table
from sqlalchemy import delete as sql_delete
from sqlalchemy import insert as sql_insert
from sqlalchemy import select as sql_select
from sqlalchemy import update as sql_update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from swap.errors import Conflict
from swap.store import Store
from swap.tables import KeptAnswer
from swap.words import N_

LOT = 1000
"""Old answers that are taken away in one transaction."""
_ANSWERS: Table = KeptAnswer.__table__  # type: ignore[attr-defined]
_C = _ANSWERS.c


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request that is to be done once."""

    organisation_id: str
    """Of the caller."""
    key: str
    fingerprint: str
    """Keyed digest of station, caller, method, address and body, in hexadecimal: bodies may hold passwords."""
    at: datetime
    """Real time."""
    kept: timedelta
    """How long its answer is kept."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered."""

    status: int
    """HTTP status, below 500."""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = b""
    """None where it shows a secret, which is not kept."""


class KeyOfOtherRequest(Conflict):
    """The key was sent with another request."""

    def __init__(self, key: str) -> None:
        super().__init__(N_("key {key!r} was sent with another request; take a new key for each new request"), key=key)


class KeyInUse(Conflict):
    """The first request with the key is still at it."""

    def __init__(self, key: str) -> None:
        super().__init__(N_("the first request with key {key!r} is still at it; ask again with it"), key=key)


class AnswerNotKept(Conflict):
    """It was done, and the answer showed a secret."""

    def __init__(self, key: str) -> None:
        super().__init__(
            N_("what key {key!r} stands for was done; its answer showed a secret and is kept nowhere"), key=key
        )


class AnsweredBeforeError(Exception):
    """What a transaction was about to do was done meanwhile."""

    def __init__(self, answer: Reply) -> None:
        self.answer = answer


def known_answer(db: Session, asked: KeyedRequest) -> Reply | None:
    """The answer that the same request was given; None where there is none.

    Raises:
        KeyOfOtherRequest: the key was sent with another request.
        AnswerNotKept: it showed a secret.
    """
    row = db.execute(sql_select(_ANSWERS).where(*_its(asked), _C.until_at > asked.at)).first()
    if row is None or row.status is None:
        return None
    if row.fingerprint != asked.fingerprint:
        raise KeyOfOtherRequest(asked.key)
    if row.body is None:
        raise AnswerNotKept(asked.key)
    return Reply(row.status, row.headers, bytes(row.body))


def claim(db: Session, asked: KeyedRequest) -> None:
    """Make the key this transaction's, before anything else in it; waits for another one that has it.

    Raises:
        AnsweredBeforeError: the same request was answered meanwhile.
        KeyOfOtherRequest: the key was sent with another request.
        AnswerNotKept: it was done, and its answer showed a secret.
    """
    db.execute(sql_delete(_ANSWERS).where(*_its(asked), _C.until_at <= asked.at))
    values = {
        "organisation_id": asked.organisation_id,
        "key": asked.key,
        "fingerprint": asked.fingerprint,
        "at": asked.at,
        "until_at": asked.at + asked.kept,
    }
    try:
        with db.begin_nested():
            db.execute(sql_insert(_ANSWERS).values(**values, headers={}))
    except IntegrityError:
        found = known_answer(db, asked)
        if found is None:
            raise
        raise AnsweredBeforeError(found) from None


def keep(db: Session, asked: KeyedRequest, answer: Reply) -> None:
    """Write the answer, as the last thing in the transaction that has claimed the key."""
    values = {"status": answer.status, "headers": answer.headers, "body": answer.body}
    db.execute(sql_update(_ANSWERS).where(*_its(asked)).values(**values))


def forget_answers(store: Store, now: datetime) -> int:
    """Take away answers whose time is over, one lot; how many there were.

    Args:
        now: real time.

    Raises:
        DatabaseAway: the database cannot be used now.
    """
    with store.reading_identity() as db:
        due = sql_select(_C.organisation_id, _C.key).where(_C.until_at <= now).order_by(_C.until_at).limit(LOT)
        found = db.execute(due).all()
    if found:
        with store.identity() as db:
            for organisation_id, key in found:
                its = (_C.organisation_id == organisation_id, _C.key == key, _C.until_at <= now)
                db.execute(sql_delete(_ANSWERS).where(*its))
    return len(found)


def _its(asked: KeyedRequest) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _C.organisation_id == asked.organisation_id, _C.key == asked.key
