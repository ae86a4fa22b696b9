"""Packs that come and go other than by a swap: on a swap truck, or with a carrier between stations."""

from __future__ import annotations

from scheduler.types import PackState
from sim.study.rack import ChargingRack
from sim.study.view import BayNow, PackNow


def take_out(rack: ChargingRack, bay: BayNow) -> PackNow:
    """Take the pack of a bay away, whatever its state."""
    rack.set_aside(bay, 0.0)
    return rack.pick(bay)


def take_charged(rack: ChargingRack, bay: BayNow, who: str) -> PackNow:
    """Take the ready pack of a bay away."""
    rack.reserve(bay, who)
    return rack.pick(bay)


def put_in(rack: ChargingRack, bay: BayNow, pack: PackNow, who: str) -> None:
    """Set a pack down in an empty bay that is promised to nobody."""
    rack.promise_empty(bay, who)
    rack.place(bay, pack)


def is_free(bay: BayNow) -> bool:
    """Whether a pack may be set down here now."""
    return bay.pack is None and bay.reserved_by is None


def is_charged(bay: BayNow) -> bool:
    """Whether the bay holds a pack that may be handed out."""
    return bay.pack is not None and bay.pack.state is PackState.READY and bay.reserved_by is None
