"""The loops of a controller: their pace, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def paced(period_s: float, step: Callable[[], Awaitable[object]]) -> None:
    """Call a step every `period_s` real seconds until cancelled; a late step is not caught up."""
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while wanted():
        await step()
        due_s = max(due_s + period_s, loop.time())
        await asyncio.sleep(max(0.0, due_s - loop.time()))


def wanted() -> bool:
    """Nobody has asked the loop to end. A step may lose the cancellation (`asyncio.wait_for` of Python 3.11 does)."""
    task = asyncio.current_task()
    return task is None or not task.cancelling()
