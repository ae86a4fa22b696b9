"""Examples for an interface's description: made from its schemas, with values by the names of fields.

What a schema says itself (`examples`, `enum`, `const`) comes first, then the name, then its ending, then the type.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
Document = dict[str, Any]

BY_NAME: dict[str, Any] = {
    "account_id": "operator:receivable:fleet-a",
    "actor": "Li Ming",
    "actor_id": "person:ps-6a43f6103a0d5e1082",
    "amount_yuan": "1234.50",
    "address": "otpauth://totp/Yangquan:liming?secret=JBSWY3DPEHPK3PXP&issuer=Yangquan",
    "code": "123456",
    "cursor": "MjAyNi0wNi0wMVQwMDowMDowMCswMDowMHxiay0x",
    "detail": "The window is full.",
    "kind": "lfp-282",
    "lang": "zh-CN",
    "local_time": "07:10",
    "login": "liming",
    "mode": "automatic",
    "name": "Li Ming",
    "name_en": "Yangquan mine",
    "name_zh": "阳泉矿",
    "next_cursor": None,
    "owner_id": "battery-owner",
    "payee_id": "station-operator",
    "payer_id": "fleet-a",
    "period": "2026-06",
    "pin": "2468",
    "reason": "wrong fleet",
    "role": "charging",
    "seller_id": "station-operator",
    "source": "lane:L1",
    "state": "completed",
    "station_id": "yangquan-mine",
    "status": "booked",
    "target": "bill:bl-6a43f6103a0d5e1082",
    "timezone": "Asia/Shanghai",
    "vehicle_id": "YQ-001",
}
"""By the whole name of a field or parameter."""
BY_ENDING: tuple[tuple[str, Any], ...] = (
    ("pack_id", "0001PE2320A1B0000000001X"),
    ("booking_id", "bk-6a43f6103a0d5e1082"),
    ("bill_id", "bl-6a43f6103a0d5e1082"),
    ("swap_id", "sw-6a43f6103a0d5e1082"),
    ("contract_id", "lc-6a43f6103a0d5e1082"),
    ("bay_id", "A1"),
    ("lane_id", "L1"),
    ("firm_id", "fleet-a"),
    ("_at", "2026-06-01T08:00:00Z"),
    ("_on", "2026-06-01"),
    ("day", "2026-06-01"),
    ("_yuan_per_kwh", "0.8500"),
    ("_yuan", "88.50"),
    ("yuan", "0.8500"),
    ("_pct", 62.5),
    ("_kwh", 141.0),
    ("_kw", 240.0),
    ("_s", 300),
    ("_id", "id-6a43f6103a0d5e1082"),
)
"""By the ending of the name, the more special one first."""
_DEEPEST = 12


def example_of(schema: Schema, document: Document, name: str = "", depth: int = 0) -> Any:
    """A value of a schema.

    Args:
        name: of the field or parameter that has it.
    """
    if depth > _DEEPEST:
        return None
    if "$ref" in schema:
        part = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return example_of(part, document, name, depth + 1)
    for said in ("examples", "enum"):
        if schema.get(said):
            return schema[said][0]
    if "const" in schema:
        return schema["const"]
    for forms in ("anyOf", "oneOf", "allOf"):
        if forms in schema:
            filled = [form for form in schema[forms] if form.get("type") != "null"]
            return example_of({**filled[0], **_limits(schema)}, document, name, depth + 1)
    return _of_type(schema, document, name, depth)


def _limits(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key in ("default", "example")}


def _of_type(schema: Schema, document: Document, name: str, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {part: example_of(of, document, part, depth + 1) for part, of in schema.get("properties", {}).items()}
    if kind == "array":
        parts = schema.get("prefixItems") or [schema.get("items", {})] * max(1, schema.get("minItems", 1))
        return [example_of(part, document, _one(name), depth + 1) for part in parts]
    named = _named(name)
    if kind == "string" and isinstance(named, str) and len(named) <= schema.get("maxLength", len(named)):
        return named
    if kind in ("number", "integer"):
        return _number(schema, named)
    if kind == "boolean":
        return schema.get("default", False)
    if kind == "string":
        return {"date-time": "2026-06-01T08:00:00Z", "date": "2026-06-01"}.get(schema.get("format", ""), "text")
    return None


def _one(name: str) -> str:
    return name.removesuffix("s") if name.endswith("ids") else name


def _named(name: str) -> Any:
    if name in BY_NAME:
        return BY_NAME[name]
    return next((value for ending, value in BY_ENDING if name.endswith(ending)), None)


def _number(schema: Schema, named: Any) -> float | int:
    value = named if isinstance(named, int | float) else 1
    least, most = schema.get("minimum", value), schema.get("maximum", value)
    value = min(max(value, least), most)
    return int(value) if schema["type"] == "integer" else float(value)


def give_examples(document: Document) -> None:
    """Give each operation a summary, and each parameter, body and answer of it an example."""
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["summary"] = operation["description"].replace("\n", " ").split(". ")[0].removesuffix(".")
            for parameter in operation.get("parameters", ()):
                parameter.setdefault("example", example_of(parameter["schema"], document, parameter["name"]))
            answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for part in (operation.get("requestBody", {}), *answers):
                for media, content in part.get("content", {}).items():
                    if content.get("schema"):
                        content.setdefault("example", example_of(content["schema"], document))
                    elif not content:
                        content.update(schema={"type": "string"}, example=f"({media})")
