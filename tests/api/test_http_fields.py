"""What the HTTP interface has promised: its paths and the names of the fields. They may gain, never lose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from api.glossary import MEANINGS

PROMISED = Path(__file__).parents[1] / "vectors" / "http_fields.json"


def fields_of(schema: dict[str, Any], components: dict[str, Any], seen: tuple[str, ...] = ()) -> set[str]:
    """Dotted names of every field that a schema may hold."""
    reference = schema.get("$ref")
    if reference is not None:
        name = reference.rsplit("/", 1)[1]
        return set() if name in seen else fields_of(components[name], components, (*seen, name))
    found: set[str] = set()
    for name, part in schema.get("properties", {}).items():
        found |= {name} | {f"{name}.{inner}" for inner in fields_of(part, components, seen)}
    for part in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(part, dict):
            found |= fields_of(part, components, seen)
    for joined in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(joined, ()):
            found |= fields_of(part, components, seen)
    return found


def promises(openapi: dict[str, Any]) -> dict[str, list[str]]:
    """Fields by operation and by request or status."""
    components = openapi["components"]["schemas"]
    found = {}
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
            for place, body in bodies.items():
                for content in body.get("content", {}).values():
                    names = fields_of(content.get("schema", {}), components)
                    found[f"{method.upper()} {path} {place}"] = sorted(names)
            found[f"{method.upper()} {path} parameters"] = sorted(p["name"] for p in operation.get("parameters", ()))
    return found


async def test_paths_and_fields_are_never_lost(client: httpx.AsyncClient) -> None:
    offered = promises((await client.get("/api/v1/openapi.json")).json())
    promised = json.loads(PROMISED.read_text("utf-8"))
    lost = {
        place: sorted(set(names) - set(offered.get(place, ())))
        for place, names in promised.items()
        if place not in offered or set(names) - set(offered[place])
    }
    assert lost == {}
    assert "bays.pack.soh_pct" in promised["GET /api/v1/stations/{station_id}/state 200"]


def undescribed(document: dict[str, Any]) -> list[str]:
    """Fields and parameters that say nothing of themselves."""
    found = []
    for name, schema in document["components"]["schemas"].items():
        parts = schema.get("properties", {}).items()
        found += [f"{name}.{field}" for field, part in parts if not part.get("description")]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            parameters = operation.get("parameters", ())
            found += [f"{path} {part['name']}" for part in parameters if not part.get("description")]
    return found


def test_every_field_says_what_it_means(app: FastAPI) -> None:
    """A5: models, parameters, codes; nothing is explained that is not there."""
    document = app.openapi()
    assert undescribed(document) == []
    schemas = document["components"]["schemas"].values()
    texts = {part["description"] for schema in schemas for part in schema.get("properties", {}).values()}
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    texts |= {part["description"] for operation in operations for part in operation.get("parameters", ())}
    assert sorted(name for name, meaning in MEANINGS.items() if meaning not in texts) == []


def test_codes_are_listed(app: FastAPI) -> None:
    """A5: enums."""
    schemas = app.openapi()["components"]["schemas"]
    assert "automatic" in schemas["StationRecord"]["properties"]["mode"]["enum"]
    assert "ready" in schemas["PackRecord"]["properties"]["state"]["enum"]
    assert "swap.completed" in schemas["EventRecord"]["properties"]["kind"]["enum"]
    assert "trip" in schemas["SwapOut"]["properties"]["hold_reason"]["anyOf"][0]["enum"]
