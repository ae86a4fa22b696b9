"""Register maps: addresses, every type in both word orders, and what a bad map is told."""

from __future__ import annotations

import json
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotics.modbus_link.registers import MAPS, MapError, RegisterMap, Span, load_map, parse_map
from robotics.modbus_link.words import from_words, to_words
from robotics.port import SEAT_ACCEPTED, SEAT_LOCKS_CLOSED, SEAT_LOCKS_OPEN, VEHICLE_OPTIONAL, Signal

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "modbus.json").read_text(encoding="utf-8"))
TYPE_OF = {"uint32": "u32", "int32": "i32", "float32": "f32", "uint64": "u64"}

GOLDEN = {
    "swap_cell_v1": {
        "heartbeat": 0,
        "state": 1,
        "ack_seq": 4,
        "active_seq": 6,
        "done_seq": 7,
        "result": 8,
        "fault_code": 9,
        "owner": 12,
        "estop_ok": 14,
        "vehicle_present": 15,
        "fault_word_1": 16,
        "vehicle_tag": 22,
        "heads_closed": 26,
        "word_check": 28,
        "bays_occupied": 100,
        "bays_known": 107,
        "cmd_heartbeat": 200,
        "owner_claim": 201,
        "cmd_owner": 202,
        "cmd_code": 203,
        "cmd_seq": 208,
        "done_ack": 209,
        "hold": 210,
    },
    "gantry_flags_v1": {
        "packet_head": 1000,
        "heartbeat": 1001,
        "task_echo": 1005,
        "flag_done": 1007,
        "fault_code": 1010,
        "fault_word_18": 1039,
        "estop_ok": 1042,
        "bays_occupied": 1100,
        "cmd_heartbeat": 1200,
        "cmd_seq": 1208,
        "done_ack": 1210,
    },
}


def small(**changes: Any) -> dict[str, Any]:
    """A valid map of a meter with one entry."""
    data: dict[str, Any] = {
        "name": "small",
        "kind": "site_meter",
        "version": 1,
        "zh": "表",
        "en": "meter",
        "blocks": [{"name": "all", "access": "read", "zh": "全部", "en": "all"}],
        "entries": [{"name": "power", "block": "all", "address": 0, "type": "u16", "zh": "功率", "en": "power"}],
    }
    data["entries"][0] |= changes
    return data


def entry(name: str, address: int, type_: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "block": "all", "address": address, "type": type_, "zh": "x", "en": "x", **more}


def with_entries(*entries: dict[str, Any], **top: Any) -> RegisterMap:
    return parse_map(small() | {"entries": list(entries)} | top)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_addresses_are_the_published_ones(name: str) -> None:
    register_map = load_map(name)
    assert {n: register_map.entries[n].address for n in GOLDEN[name]} == GOLDEN[name]


def test_own_map_is_read_in_one_request_a_block() -> None:
    register_map = load_map("swap_cell_v1")
    assert register_map.read_blocks == {"fast": (Span(0, 30),), "slow": (Span(100, 17),)}
    assert register_map.span == (0, 210)
    fitted = {*VEHICLE_OPTIONAL, Signal.CONNECTOR_FREE, Signal.GRIPPER_LOCKED, Signal.SUPPORTED}
    fitted |= {Signal.SEAT_3_OCCUPIED, Signal.SEAT_4_OCCUPIED}
    fitted |= {*SEAT_LOCKS_OPEN.values(), *SEAT_LOCKS_CLOSED.values(), *SEAT_ACCEPTED.values()}
    assert set(register_map.missing(Signal)) == fitted  # not every equipment has these


def test_every_shipped_map_loads() -> None:
    names = {path.stem for path in MAPS.glob("*.toml")}
    assert {"swap_cell_v1", "gantry_flags_v1"} <= names
    assert all(load_map(name).name == name for name in names)


def test_golden_command_and_status_words() -> None:
    ours = load_map("swap_cell_v1")
    command = {
        "cmd_owner": 7,
        "cmd_code": ours.raw_of("cmd_code", "pick"),
        "cmd_source": 3,
        "cmd_target": 0,
        "cmd_vehicle_tag": 0x0001_86A1,
        "cmd_seq": 65535,
    }
    assert ours.encode(command) == [(202, [7, 5, 3, 0, 0x0001, 0x86A1, 65535])]
    gantry = load_map("gantry_flags_v1")
    command["cmd_code"] = gantry.raw_of("cmd_code", "pick")
    assert gantry.encode(command) == [(1202, [7, 1, 3, 9999, 0x86A1, 0x0001, 0xFFFF, 0])]
    assert ours.encode({"word_check": 0x12345678}) == [(28, [0x1234, 0x5678])]


@pytest.mark.parametrize("vector", VECTORS["words"], ids=lambda v: f"{v['type']}-{v['word_order']}")
def test_words_of_the_shared_vectors(vector: dict[str, Any]) -> None:
    little = vector["word_order"] == "little"
    type_ = TYPE_OF[vector["type"]]
    assert to_words(vector["value"], type_, little=little) == vector["registers"]
    assert from_words(vector["registers"], type_, little=little) == vector["value"]
    register_map = with_entries(entry("x", 5, type_), word_order=vector["word_order"])
    assert register_map.encode({"x": vector["value"]}) == [(5, vector["registers"])]
    assert register_map.decode("all", vector["registers"]) == {"x": vector["value"]}


_NUMBERS = {
    "u16": st.integers(0, 0xFFFF),
    "i16": st.integers(-0x8000, 0x7FFF),
    "u32": st.integers(0, 2**32 - 1),
    "i32": st.integers(-(2**31), 2**31 - 1),
    "u64": st.integers(0, 2**64 - 1),
    "f32": st.floats(width=32, allow_nan=False),
}


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("type_", sorted(_NUMBERS))
@given(data=st.data())
def test_numbers_come_back(type_: str, order: str, data: st.DataObject) -> None:
    value = data.draw(_NUMBERS[type_])
    register_map = with_entries(entry("x", 3, type_, word_order=order), entry("y", 9, "u16"))
    ((address, registers), _) = register_map.encode({"x": value, "y": 1})
    assert address == 3
    assert register_map.decode("all", registers)["x"] == value


@given(st.lists(st.sampled_from([True, False, None]), max_size=20), st.text("ABC0123456789", max_size=7))
def test_bits_and_text_come_back(bits: list[bool | None], text: str) -> None:
    register_map = with_entries(
        entry("seen", 0, "bits(20)", mask="known"), entry("known", 2, "bits(20)"), entry("code", 4, "ascii(7)")
    )
    ((address, registers),) = register_map.encode({"seen": tuple(bits), "code": text or None})
    assert address == 0
    values = register_map.decode("all", registers)
    assert values["seen"] == tuple(bits) + (None,) * (20 - len(bits))
    assert values["code"] == (text or None)


def test_scale_offset_idle_invalid_invert() -> None:
    register_map = with_entries(
        entry("temp", 0, "i16", scale=0.1, offset=-40.0, invalid=-32768),
        entry("place", 1, "u16", idle=9999),
        entry("door_shut", 2, "bool", bit=4, invert=True),
        entry("link", 2, "bool", bit=5),
        entry("brake", 2, "bool", bit=6, valid_when="link"),
    )
    assert register_map.encode({"temp": 21.5, "place": 0, "door_shut": True}) == [(0, [615, 9999, 0])]
    values = register_map.decode("all", [615, 9999, 0b1010000])
    assert values == {"temp": 21.5, "place": 0, "door_shut": False, "link": False, "brake": None}
    assert register_map.decode("all", [0x8000, 5, 0b1100000]) == {
        "temp": None,
        "place": 5,
        "door_shut": True,
        "link": True,
        "brake": True,
    }
    assert register_map.encode({"temp": None}) == [(0, [0x8000])]


def test_registers_not_given_are_unknown_never_zero() -> None:
    register_map = load_map("swap_cell_v1")
    assert set(register_map.decode("fast", []).values()) == {None}
    values = register_map.decode("fast", {0: 5, 22: 1})
    assert values["heartbeat"] == 5
    assert values["vehicle_tag"] is None
    assert values["estop_ok"] is None


def test_bits_keep_their_neighbours() -> None:
    register_map = load_map("swap_cell_v1")
    assert register_map.encode({"estop_ok": False}, {14: 0xFFFF}) == [(14, [0xFFFE])]
    assert register_map.encode({"estop_ok": True}) == [(14, [1])]


def test_image_answers_every_register_of_a_block() -> None:
    register_map = load_map("gantry_flags_v1")
    image = register_map.image({"heartbeat": 7})
    assert image[1000] == 0xFFEE
    assert image[1001] == 7
    assert image[1009] == 9999
    for block, spans in register_map.read_blocks.items():
        assert all(a in image for s in spans for a in range(s.address, s.address + s.count)), block


def test_reads_are_joined_over_gaps_and_cut_at_125() -> None:
    blocks = [{"name": "all", "access": "read", "max_gap": 3, "zh": "x", "en": "x"}]
    register_map = with_entries(
        *(entry(f"r{a}", a, "u32") for a in (0, 5, 9, 30)), entry("long", 32, "bits(1024)"), blocks=blocks
    )
    assert register_map.read_blocks["all"] == (Span(0, 11), Span(30, 66))
    many = with_entries(*(entry(f"r{a}", a, "u16") for a in range(300)))
    assert [s.count for s in many.read_blocks["all"]] == [125, 125, 50]
    assert [len(words) for _, words in many.encode(dict.fromkeys(many.entries, 1))] == [123, 123, 54]


def test_faults_of_set_bits() -> None:
    register_map = load_map("swap_cell_v1")
    assert register_map.faults_in({"fault_word_1": 0b101, "fault_word_6": 1}) == (1001, 1003, 6001)
    assert register_map.faults_in({"fault_word_1": None}) == ()


BAD: list[tuple[dict[str, Any], str]] = [
    (small(typ="u16"), "entry 'power' typ = 'u16': is no known field"),
    (small(type="u8"), "entry 'power' type = 'u8': unknown type; allowed: u16, i16, u32"),
    (small(type="bits(0)"), "unknown type; allowed"),
    (small(type="bool"), "a bool needs bit; allowed 0…15"),
    (small(type="bool", bit=16), "entry 'power' bit = 16"),
    (small(bit=2), "bit is for bool and bits(n) only, not u16"),
    (small(invert=True), "invert is for bool"),
    (small(const=70000), "const = 70000: allowed in u16 0…65535"),
    (small(type="f32", idle=1), "idle is for integer types only, not f32"),
    (small(address=65535, type="u32"), "ends at register 65536; allowed up to 65535"),
    (small(address="1"), "entry 'power' address"),
    (small(block="fast"), "entry 'power' block = 'fast': no such block; allowed: all"),
    (small(valid_when="door"), "must name a bool"),
    (small(type="bits(3)", mask="door"), "must name a bits(3)"),
    (small(faults={"16": 1001}), "faults.16: bit must be 0…15"),
    (small(codes={"x": 1001}), "codes.x: the device's number must be a whole number"),
    (small(idle=1, scale=0.5), "scale must be 1"),
    (small() | {"handshake": {"style": "flags"}}, "handshake: is for kind swap_cell only"),
    (small() | {"kind": "crane"}, "kind = 'crane'"),
    (small() | {"colour": 1}, "colour = 1: is no known field"),
    (small() | {"entries": [*small()["entries"], *small()["entries"]]}, "entry 'power': given more than once"),
    (
        small() | {"entries": [entry("a", 0, "u32"), entry("b", 1, "u16")]},
        "entry 'b': register 1 overlaps entry 'a'",
    ),
    (
        small() | {"entries": [entry("a", 0, "bool", bit=3), entry("b", 0, "bits(4)", bit=0)]},
        "entry 'b': register 0 bit 0 overlaps entry 'a'",
    ),
    (
        small(type="u16", values=[{"raw": 1, "means": "a", "zh": "x", "en": "x"}] * 2),
        "values.raw 1 given more than once",
    ),
]


@pytest.mark.parametrize(("data", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_bad_maps_are_refused_with_entry_and_allowed_values(data: dict[str, Any], message: str) -> None:
    with pytest.raises(MapError) as caught:
        parse_map(data)
    assert message in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    data = small() | {"entries": [entry("a", 0, "u8"), entry("b", 70000, "u16", colour=1)]}
    with pytest.raises(MapError) as caught:
        parse_map(data)
    assert len(caught.value.problems) == 3


def cell_data(name: str = "swap_cell_v1") -> dict[str, Any]:
    return tomllib.loads((MAPS / f"{name}.toml").read_text(encoding="utf-8"))


def change(data: dict[str, Any], which: str, **values: Any) -> dict[str, Any]:
    changed = deepcopy(data)
    next(e for e in changed["entries"] if e["name"] == which).update(values)
    return changed


def without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    changed = deepcopy(data)
    changed["entries"] = [e for e in changed["entries"] if e["name"] not in names]
    return changed


def test_a_cell_map_must_carry_what_the_driver_needs() -> None:
    with pytest.raises(MapError, match="entries missing for a swap cell: done_seq, cmd_seq; needed are heartbeat"):
        parse_map(without(cell_data(), "done_seq", "cmd_seq"))
    with pytest.raises(MapError, match="entries missing for a swap cell: task_echo"):
        parse_map(without(cell_data("gantry_flags_v1"), "task_echo"))
    with pytest.raises(MapError, match="handshake: missing"):
        parse_map({k: v for k, v in cell_data().items() if k != "handshake"})
    values = [v for v in load_map("swap_cell_v1").entries["ack_code"].values if v.means != "busy"]
    with pytest.raises(MapError, match="entry 'ack_code' values: no raw value for busy"):
        parse_map(change(cell_data(), "ack_code", values=[v.model_dump() for v in values]))
    with pytest.raises(MapError, match="entry 'cmd_seq': must follow entry 'cmd_vehicle_tag' without a gap"):
        parse_map(change(cell_data(), "cmd_seq", address=300))
    with pytest.raises(MapError, match="'cmd_heartbeat' address = 300: must lie right before owner_claim"):
        parse_map(change(cell_data(), "cmd_heartbeat", address=300))
    with pytest.raises(MapError, match="entries missing: owner_claim; owner, owner_claim, cmd_owner go together"):
        parse_map(without(cell_data(), "owner_claim"))
    with pytest.raises(MapError, match="entry 'homed' type = 'u16': allowed bool"):
        parse_map(change(without(cell_data(), "homed"), "step", name="homed"))


def test_signals_may_be_absent() -> None:
    register_map = parse_map(without(cell_data(), "tank_ready", "heads_open"))
    assert register_map.missing(("tank_ready", "homed")) == ("tank_ready",)


def test_values_that_do_not_fit_are_refused() -> None:
    register_map = load_map("swap_cell_v1")
    for values, message in (
        ({"heartbeat": 65536}, "entry 'heartbeat' = 65536: allowed 0…65535"),
        ({"cabinet_temp_c": 5000.0}, "allowed -3276.8…3276.7 °C"),
        ({"state": None}, "the entry has no value for unknown"),
        ({"estop_ok": 2}, "allowed true or false"),
        ({"bays_occupied": (True,) * 100}, "a tuple of up to 99"),
        ({"nothing": 1}, "no entry 'nothing'"),
    ):
        with pytest.raises(MapError) as caught:
            register_map.encode(values)
        assert message in str(caught.value)


def test_maps_by_path(tmp_path: Path) -> None:
    text = (MAPS / "swap_cell_v1.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('name = "swap_cell_v1"', 'name = "mine"', 1), encoding="utf-8")
    assert load_map("mine.toml", tmp_path).name == "mine"
    assert load_map("mine.toml", tmp_path) is load_map("mine.toml", tmp_path)
    with pytest.raises(MapError, match=r"no such register map; give a shipped one \(.*swap_cell_v1"):
        load_map("yours", tmp_path)
    (tmp_path / "broken.toml").write_text("a = ", encoding="utf-8")
    with pytest.raises(MapError, match="is no valid TOML"):
        load_map("broken.toml", tmp_path)
