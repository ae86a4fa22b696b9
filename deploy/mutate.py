"""The mutants of a source: every comparison, condition, sum and number of it changed, one at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple


class Mutant(NamedTuple):
    """One change."""

    text: str
    """The whole changed source."""
    lines: range | None
    """Of the source as it is: the statement that is changed; None where it is part of none."""


_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Mod: ast.Mult,
}  # fmt: skip


def _changed(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may be changed into."""
    if isinstance(node, ast.Compare):
        for index, op in enumerate(node.ops):
            ops: list[ast.cmpop] = list(node.ops)
            ops[index] = _COMPARED[type(op)]()
            yield ast.Compare(node.left, ops, node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
        for value in node.values:
            yield ast.BoolOp(node.op, [other for other in node.values if other is not value] or [value])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _CALCULATED:
        yield ast.BinOp(node.left, _CALCULATED[type(node.op)](), node.right)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.If):
        yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)


def _no_annotation(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every node that runs, with where it hangs; annotations do not run."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "type_params", "decorator_list"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST):
                yield tree, field, index
                yield from _no_annotation(child)


def _statements(tree: ast.AST) -> dict[int, range]:
    """By line the innermost statement it is part of, without the statements inside of that."""
    by_line: dict[int, range] = {}
    for node in ast.walk(tree):  # from the outside in
        if isinstance(node, ast.stmt) and node.end_lineno is not None:
            inside: list[ast.stmt] = getattr(node, "body", [])
            lines = range(node.lineno, inside[0].lineno if inside else node.end_lineno + 1)
            by_line |= dict.fromkeys(lines, lines)
    return by_line


def mutants(source: str) -> Iterator[tuple[str, Mutant]]:
    """Every mutant: what was changed, and the mutant itself."""
    tree = ast.parse(source)
    statements = _statements(tree)
    count: dict[str, int] = {}
    for parent, field, index in list(_no_annotation(tree)):
        held = getattr(parent, field)
        node = held if index is None else held[index]
        for new in _changed(node):
            ast.copy_location(new, node)
            before = ast.unparse(node.test if isinstance(node, ast.If) else node).splitlines()[0]
            after = ast.unparse(new.test if isinstance(new, ast.If) else new).splitlines()[0]
            if index is None:
                setattr(parent, field, new)
            else:
                held[index] = new
            text = ast.unparse(ast.fix_missing_locations(tree))
            if index is None:
                setattr(parent, field, node)
            else:
                held[index] = node
            name = f"{before}  ->  {after}"
            count[name] = count.get(name, 0) + 1
            mutant = Mutant(text, statements.get(node.lineno))
            yield (name if count[name] == 1 else f"{name}  ({count[name]})"), mutant
