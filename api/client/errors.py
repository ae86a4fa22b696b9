"""What can go wrong with a call.

ClientError
├── ProblemError      the server has answered with a problem
└── UnreachableError  it has not answered, and what was asked may have happened or not
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from api.schemas import FieldProblem, Problem


class ClientError(Exception):
    """Base of the errors of a call."""


class ProblemError(ClientError):
    """The server refuses, or cannot.

    Attributes:
        problem: what it says (RFC 9457).
        retry_after_s: seconds after which it may be asked again; None where it does not say.
    """

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        self.problem = problem
        self.retry_after_s = retry_after_s
        super().__init__(f"{problem.code}: {problem.detail}")

    @property
    def code(self) -> str:
        """Stable name of the kind of problem: one of `GET /api/v1/problems`."""
        return self.problem.code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def detail(self) -> str:
        """What is wrong this time, in the language that the client asks for."""
        return self.problem.detail

    @property
    def problems(self) -> tuple[FieldProblem, ...]:
        """The values that are not allowed."""
        return self.problem.problems

    @property
    def related(self) -> Mapping[str, str]:
        """Records in the way, by what they are."""
        return self.problem.related


class UnreachableError(ClientError):
    """No answer came, or one that is none of this interface.

    Attributes:
        sent: the server may have had the call; False where no connection was made.
    """

    def __init__(self, url: str, reason: object, *, sent: bool = True) -> None:
        self.url = url
        self.sent = sent
        self.reason = str(reason) or type(reason).__name__
        super().__init__(f"{url}: {self.reason}")


def problem_of(status: int, body: bytes, url: str) -> Problem:
    """The problem that an answer tells of. Raises UnreachableError where it tells of none, as a proxy's page."""
    try:
        return Problem.model_validate_json(body, extra="ignore")
    except ValidationError as error:
        raise UnreachableError(url, f"HTTP {status} without a problem document") from error
