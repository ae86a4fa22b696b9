"""Packs that come and go other than by a swap: on a swap truck, or with a carrier between stations."""

from __future__ import annotations

from sim.study.bays import READY
from sim.study.rack import Rack
from sim.study.rows import StudyBay, StudyPack


def take_out(rack: Rack, bay: StudyBay) -> StudyPack:
    """Take the pack of a bay away, whatever its state."""
    rack.set_aside(bay, 0.0)
    return rack.pick(bay)


def take_charged(rack: Rack, bay: StudyBay, who: str) -> StudyPack:
    """Take the ready pack of a bay away."""
    rack.reserve(bay, who)
    return rack.pick(bay)


def put_in(rack: Rack, bay: StudyBay, pack: StudyPack, who: str) -> None:
    """Set a pack down in an empty bay that is promised to nobody."""
    pack.kind = pack.sort = rack.kinds[pack.kind.name]  # it may come from another station, which counts its own
    rack.promise_empty(bay, who)
    rack.place(bay, pack)


def is_free(bay: StudyBay) -> bool:
    """Whether a pack may be set down here now."""
    return bay.content is None and bay.reserved_by is None


def is_charged(bay: StudyBay) -> bool:
    """Whether the bay holds a pack that may be handed out."""
    return bay.content is not None and bay.content.state is READY and bay.reserved_by is None
