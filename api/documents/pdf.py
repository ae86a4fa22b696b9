"""An invoice or a receipt as PDF. The Chinese font is one that every reader brings along (STSong-Light), so none is
shipped."""

from __future__ import annotations

from io import BytesIO

from api.documents.sheet import Sheet
from swap.errors import NotInstalled

_FONT = "STSong-Light"


def pdf(page: Sheet) -> bytes:
    """A4 across, as many pages as the lines need; the same bytes for the same page.

    Raises:
        NotInstalled: the extra `documents` is not installed.
    """
    try:
        from reportlab.lib import colors
        from reportlab.lib.pagesizes import A4, landscape
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.lib.units import mm
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.cidfonts import UnicodeCIDFont
        from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle
    except ImportError as error:
        raise NotInstalled("documents") from error
    pdfmetrics.registerFont(UnicodeCIDFont(_FONT))
    plain = ParagraphStyle("plain", fontName=_FONT, fontSize=8, leading=10)
    title = ParagraphStyle("title", fontName=_FONT, fontSize=16, leading=22)
    out = BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=landscape(A4),
        leftMargin=12 * mm,
        rightMargin=12 * mm,
        topMargin=12 * mm,
        bottomMargin=12 * mm,
        title=page.title,
        invariant=1,
    )

    def cell(value: object) -> Paragraph:
        text = str(value).replace("&", "&amp;").replace("<", "&lt;")
        return Paragraph(text, plain)

    lines = Table(
        [[cell(name) for name in page.columns], *([cell(value) for value in row] for row in page.rows)],
        colWidths=[part * mm for part in page.widths_mm],
        repeatRows=1,
    )
    lines.setStyle(
        TableStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.3, colors.grey),
                ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
            ]
        )
    )

    def pairs(values: tuple[tuple[str, str], ...]) -> Table:
        return Table([[cell(label), cell(value)] for label, value in values], colWidths=[30 * mm, 150 * mm])

    parts = [Paragraph(page.title, title), pairs(page.head), Spacer(1, 4 * mm), lines, Spacer(1, 4 * mm)]
    parts += [pairs(page.totals), *(cell(note) for note in page.notes)]
    document.build(parts)
    return out.getvalue()
