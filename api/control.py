"""The controller on a thread and a loop of its own: what blocks the doors does not block it, nor it the doors."""

from __future__ import annotations

import asyncio
import contextvars
import threading

from swap.station.controller import StationController


async def run_apart(controller: StationController) -> None:
    """Run a controller until it ends or this is cancelled; it then holds the robots first.

    Raises:
        BaseException: what ended the controller.
    """
    doors = asyncio.get_running_loop()
    ended: asyncio.Future[None] = doors.create_future()
    begun = threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        begun.set()
        await controller.run()

    def settle(error: BaseException | None) -> None:
        if error is None or isinstance(error, asyncio.CancelledError):
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def thread() -> None:
        error: BaseException | None = None
        try:
            asyncio.run(main())
        except BaseException as raised:  # it is raised where the controller is waited for
            error = raised
        doors.call_soon_threadsafe(settle, error)

    bound = contextvars.copy_context()  # what is logged there names what was bound here
    threading.Thread(target=bound.run, args=(thread,), name="controller").start()
    await asyncio.to_thread(begun.wait)
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        loop, task = running[0]
        loop.call_soon_threadsafe(task.cancel)
        await ended
        raise
