"""Loopback control of the simulated devices: read the truth, put faults in, take them away, let trucks come.

For integrators and tests. It listens on loopback only and has no login, since it can do nothing but play.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from sim.devices.servers import DeviceServers
from sim.plant.faults import catalogue
from sim.plant.plant import PlantError


class FaultIn(BaseModel):
    """A fault to put in."""

    model_config = ConfigDict(extra="forbid")

    name: str
    target: str = Field(min_length=1)
    """Lane, bay, pack, vehicle or Modbus endpoint, as the fault asks."""
    arguments: dict[str, Any] = {}


class ArrivalIn(BaseModel):
    """A truck that comes into the yard."""

    model_config = ConfigDict(extra="forbid")

    vehicle_id: str
    soc_pct: list[float] = Field(default_factory=list, max_length=2)
    """State of charge of its packs, in seat order; as they left when empty."""


class FaultOut(BaseModel):
    """A fault that can be put in."""

    name: str
    target: str
    usage: str
    once: bool
    """It happens and is not cleared."""
    zh: str
    en: str
    arguments: dict[str, Any]


def create_control_app(servers: DeviceServers) -> FastAPI:
    """The control interface of running device servers."""
    app = FastAPI(title="Simulated devices", docs_url=None, redoc_url=None)
    plant = servers.plant

    @app.get("/plant")
    async def truth() -> dict[str, Any]:
        """Where everything truly is."""
        return plant.truth()

    @app.get("/addresses")
    async def addresses() -> dict[str, str]:
        """Modbus endpoints."""
        return {name: f"{host}:{port}" for name, (host, port) in servers.addresses.items()}

    @app.get("/faults")
    async def faults() -> list[FaultOut]:
        """Every fault that can be put in."""
        return [
            FaultOut(
                name=spec.name,
                target=spec.text.target,
                usage=spec.usage,
                once=spec.acts[1] is None,
                zh=spec.text.zh,
                en=spec.text.en,
                arguments={name: argument.default for name, argument in spec.text.arguments.items()},
            )
            for spec in catalogue().values()
        ]

    @app.post("/faults", status_code=204)
    async def inject(body: FaultIn) -> None:
        """Put a fault in."""
        try:
            plant.inject(body.name, body.target, **body.arguments)
        except PlantError as error:
            raise HTTPException(422, str(error)) from error
        servers.store()

    @app.delete("/faults/{name}/{target}", status_code=204)
    async def clear(name: str, target: str) -> None:
        """Take a fault away."""
        try:
            plant.clear(name, target)
        except PlantError as error:
            raise HTTPException(422, str(error)) from error
        servers.store()

    @app.post("/arrivals", status_code=204)
    async def arrive(body: ArrivalIn) -> None:
        """Let a truck come."""
        try:
            plant.arrive(body.vehicle_id, body.soc_pct)
        except PlantError as error:
            raise HTTPException(422, str(error)) from error
        servers.store()

    return app


async def serve_control(servers: DeviceServers, port: int) -> None:
    """Serve the control interface on loopback until the process is told to stop."""
    import uvicorn

    config = uvicorn.Config(create_control_app(servers), host="127.0.0.1", port=port, log_config=None)
    await uvicorn.Server(config).serve()
