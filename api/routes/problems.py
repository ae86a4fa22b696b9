"""What can go wrong, as codes that stay."""

from __future__ import annotations

from fastapi import Request

from api.access import guarded_router
from api.problems import KINDS, declared, language_for
from api.schemas import ProblemKind
from swap.reading.records import Page

router = guarded_router(prefix="/problems", tags=["problems"])


@router.get("", responses=declared())
def problems(request: Request) -> Page[ProblemKind]:
    """Every kind of problem that this interface answers with. Codes may be added; none is taken away or changed."""
    language = language_for(request)
    return Page(
        items=tuple(
            ProblemKind(code=code, status=kind.status, title=language.text(kind.title)) for code, kind in KINDS.items()
        )
    )
