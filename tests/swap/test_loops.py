"""Loops of a controller end when they are told to, whatever a step makes of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from swap.station.controller import StationController
from swap.station.life.loops import paced
from tests.support.swap.station import Bench


async def _loses_its_cancellation(begun: asyncio.Event) -> None:
    begun.set()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)


async def test_a_loop_ends_though_a_step_has_lost_its_cancellation() -> None:
    begun = asyncio.Event()
    loop = asyncio.create_task(paced(0.01, lambda: _loses_its_cancellation(begun)))
    await begun.wait()
    loop.cancel()
    done, _ = await asyncio.wait([loop], timeout=10)
    assert done == {loop}


async def test_so_does_one_that_works_after_each_look(bench: Bench) -> None:
    controller: StationController = bench.controller
    begun, seen = asyncio.Event(), asyncio.Event()
    seen.set()
    loop = asyncio.create_task(controller._after(seen, lambda: _loses_its_cancellation(begun)))
    await begun.wait()
    seen.set()
    loop.cancel()
    done, _ = await asyncio.wait([loop], timeout=10)
    assert done == {loop}


@pytest.mark.parametrize("rounds", [1, 3])
async def test_a_loop_that_nobody_ends_goes_on(rounds: int) -> None:
    counted, over = 0, asyncio.Event()

    async def count() -> None:
        nonlocal counted
        counted += 1
        if counted == rounds:
            over.set()

    loop = asyncio.create_task(paced(0.0, count))
    await over.wait()
    assert not loop.done()
    loop.cancel()
    await asyncio.wait([loop])
