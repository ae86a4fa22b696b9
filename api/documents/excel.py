"""An invoice, a receipt or a statement as an Excel workbook."""

from __future__ import annotations

from decimal import Decimal
from io import BytesIO

from api.documents.sheet import Sheet

_WIDEST = 40


def workbook(page: Sheet) -> bytes:
    """One sheet: head, lines, totals; numbers are numbers."""
    from openpyxl import Workbook
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = page.title[:31]
    bold = Font(bold=True)
    sheet.append([page.title])
    sheet["A1"].font = Font(bold=True, size=14)
    for label, value in page.head:
        sheet.append([label, value])
    sheet.append([])
    sheet.append(list(page.columns))
    for cell in sheet[sheet.max_row]:
        cell.font = bold
    for row in page.rows:
        sheet.append(list(row))
        for cell in sheet[sheet.max_row]:
            if isinstance(cell.value, Decimal):
                cell.number_format = "#,##0.00" if cell.value.as_tuple().exponent == -2 else "General"
    sheet.append([])
    for label, value in page.totals:
        sheet.append([label, value])
        sheet.cell(sheet.max_row, 1).font = bold
    for note in page.notes:
        sheet.append([note])
    for number, cells in enumerate(sheet.columns, start=1):
        width = max((len(str(cell.value)) for cell in list(cells)[1:] if cell.value is not None), default=8)
        sheet.column_dimensions[get_column_letter(number)].width = min(width + 2, _WIDEST)
    for cells in sheet.iter_rows():
        for cell in cells:
            if isinstance(cell.value, str):
                cell.data_type = "s"  # a name that begins with = is a name, not a formula
    out = BytesIO()
    book.save(out)
    return out.getvalue()
