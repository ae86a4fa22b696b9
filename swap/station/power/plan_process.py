"""The optimiser in a process of its own: asked by a pickle on standard input, answered by one on standard output.

A new one for each plan: what crashes, hangs or grows ends with it, and nothing is kept from one plan to the next.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import sys
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scheduler.guide import Guide
from scheduler.optimal.outlook import PlanTask
from scheduler.optimal.plan import NotBelieved, guides_of, make_plan
from scheduler.optimal.solve import NoSolver, NotSolved
from scheduler.optimal.stock import Delay

log = logging.getLogger(__name__)

PROCESS_S = 45.0
"""Real seconds after which the process is ended."""
SOLVER_S = 15.0
"""Real seconds that each of the solver's two attempts has: both and the start fit into those of the process."""
NICENESS = 10
"""It steps back where the processor is short."""
MOST_SAID = 4000
"""Characters of its standard error that are logged, from the end."""


class PlanCause(StrEnum):
    """Why there is no plan."""

    NOT_ASKED = "not_asked"
    """Prices are not known for long enough, or a number is none."""
    NO_SOLVER = "no_solver"
    NOT_SOLVED = "not_solved"
    NOT_BELIEVED = "not_believed"
    LATE = "late"
    DIED = "died"
    """Its process has ended without an answer."""
    BROKEN = "broken"
    """A fault of the program."""


class PlanFailed(Exception):
    """There is no plan that may be carried out; the message says why."""

    def __init__(self, message: str, cause: PlanCause) -> None:
        super().__init__(message, cause)
        self.cause = cause

    def __str__(self) -> str:
        """The message alone."""
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class PlannedGuides:
    """The guides of a checked plan."""

    from_at: datetime
    guides: tuple[Guide, ...]
    primal_residual: float
    gap: float
    short_kwh: float
    """Energy that promised and expected packs will lack."""
    delays: tuple[Delay, ...]
    """Promised trucks whose packs come late whatever is planned."""


def plan_here(task: PlanTask) -> PlannedGuides:
    """Make the plan in this process. Raises PlanFailed."""
    try:
        plan = make_plan(task.problem, most_s=SOLVER_S)
    except NoSolver as error:
        raise PlanFailed(str(error), PlanCause.NO_SOLVER) from error
    except NotSolved as error:
        raise PlanFailed(str(error), PlanCause.NOT_SOLVED) from error
    except NotBelieved as error:
        raise PlanFailed(str(error), PlanCause.NOT_BELIEVED) from error
    short_kwh = sum(short.kwh for short in plan.shortfalls)
    verdict = plan.verdict
    guides = guides_of(plan, task.reach, task.packs)
    return PlannedGuides(task.problem.begin_at, guides, verdict.primal_residual, verdict.gap, short_kwh, task.delays)


async def plan_apart(task: PlanTask, most_s: float = PROCESS_S) -> PlannedGuides:
    """Make the plan in a process of its own, and end that process in any case.

    Raises:
        PlanFailed: no plan, no answer in time, or the process has died.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "swap.station.power.plan_process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(most_s):
            out, said = await process.communicate(pickle.dumps(task))
    except TimeoutError:
        raise PlanFailed(f"the optimiser gave no answer within {most_s:g} s", PlanCause.LATE) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if said:
        log.warning("the optimiser's process said: %s", said.decode(errors="replace").strip()[-MOST_SAID:])
    if process.returncode != 0:
        raise PlanFailed(f"the optimiser's process ended with {process.returncode}", PlanCause.DIED)
    found = pickle.loads(out)
    if isinstance(found, PlanFailed):
        raise found
    if not isinstance(found, PlannedGuides):
        raise PlanFailed(f"the optimiser's process answered a {type(found).__name__}", PlanCause.BROKEN)
    return found


def main() -> None:
    """Answer one task; why there is no plan is an answer too."""
    os.nice(NICENESS)
    task = pickle.load(sys.stdin.buffer)
    try:
        answer: object = plan_here(task)
    except PlanFailed as error:
        answer = error
    sys.stdout.buffer.write(pickle.dumps(answer))


if __name__ == "__main__":
    # Under its own name, so that the asker knows the classes of the answer.
    from swap.station.power.plan_process import main as answer_one

    answer_one()
