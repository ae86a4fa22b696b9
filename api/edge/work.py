"""A route's work in one thread: who asks is found out, the work is done, and its answer is written.

Each change between the loop and a thread costs as much as several queries, so a request has one. What is refused is
refused in the same order as if each were a step of its own: who may not ask at all is told that first, whatever is
wrong with what was sent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request, Response
from pydantic import TypeAdapter

from api.edge.keys import ENDING, once_for_its_key

T = TypeVar("T")


class PutOff(Generic[T]):
    """Something of a request that is found out in the thread of its route.

    Args:
        find: how; blocks.
        around: it and the work of the route.
    """

    def __init__(self, find: Callable[[], T], around: Callable[[], AbstractContextManager[None]]) -> None:
        self.find = find
        self.around = around


_PUT_OFF: ContextVar[PutOff[Any] | None] = ContextVar("put_off", default=None)
"""What this context has put off."""
_TURNS: ContextVar[CapacityLimiter | None] = ContextVar("turns", default=None)
"""Of which threads one does the work of this context; None: of those that all share."""


@contextmanager
def asking(request: Request) -> Iterator[None]:
    """Around one request: what `put_off`, `take_turns` and `api.edge.keys.begin_once` begin ends with it."""
    with ExitStack() as ending:
        request.scope[ENDING] = ending
        ending.callback(_TURNS.reset, _TURNS.set(None))
        ending.callback(_PUT_OFF.reset, _PUT_OFF.set(None))
        yield


def take_turns(turns: CapacityLimiter) -> None:
    """From now on the route of this request needs a thread of its own kind; in the task of the request."""
    _TURNS.set(turns)


def put_off(find: Callable[[], T], around: Callable[[], AbstractContextManager[None]] = nullcontext) -> PutOff[T]:
    """Leave something to the thread of the route, whose function is given what is found in place of this; in the task
    of the request. Args: as of `PutOff`."""
    found = PutOff(find, around)
    _PUT_OFF.set(found)
    return found


async def catch_up() -> None:
    """Find out now what was put off, where the route's function is not called: it may refuse more than the form."""
    left = _PUT_OFF.get()
    if left is not None:
        await run_sync(left.find, limiter=_TURNS.get())


def in_one_thread(endpoint: Callable[..., Any], status: int | None, model: Callable[[], Any]) -> Callable[..., Any]:
    """A route's function whose work is done in a thread, and once where its request bears a key.

    Args:
        endpoint: no coroutine: its work, the claim of the key and the answer are one commit of one thread.
        status: of the route's success.
        model: gives the type of what it returns.
    """

    @functools.cache
    def adapter() -> TypeAdapter[Any]:
        return TypeAdapter(model())

    def answer(given: dict[str, Any]) -> Response:
        value = endpoint(**given)
        if isinstance(value, Response):
            return value
        if value is None:
            response = Response(status_code=status or 204)
        else:
            told = adapter().validate_python(value, from_attributes=True)
            response = Response(adapter().dump_json(told, by_alias=True), status or 200, media_type="application/json")
        for part in given.values():
            if isinstance(part, Response):  # in which the function has set headers
                response.headers.raw.extend(part.headers.raw)
        return response

    def work(given: dict[str, Any]) -> Response:
        left = _PUT_OFF.get()
        if left is None:
            return once_for_its_key(lambda: answer(given))
        with left.around():
            found = left.find()
            found_too = {name: found if part is left else part for name, part in given.items()}
            return once_for_its_key(lambda: answer(found_too))

    @functools.wraps(endpoint)
    async def threaded(**given: Any) -> Response:
        return await run_sync(work, given, limiter=_TURNS.get())

    return threaded
