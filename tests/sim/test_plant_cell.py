"""The cell's handshake, its interlocks, and what its faults do."""

from __future__ import annotations

import pytest

from robotics.port import (
    AckCode,
    CellState,
    CommandCode,
    ControlMode,
    Location,
    LocationKind,
    ResultCode,
    RobotCommand,
    RunMode,
    Signal,
)
from sim.plant.plant import Plant
from sim.plant.rack import PlantError
from sim.plant.yard import TruckPlace
from swap.places import TANK, bay_place, gripper_place, vehicle_place
from tests.support.sim.plant import Hand, bay, code, plant, seat, station

C, A, R = CommandCode, AckCode, ResultCode
TRANSFER = Location(LocationKind.TRANSFER, 1)


def test_a_whole_swap_takes_about_five_minutes_and_exchanges_the_packs() -> None:
    world = plant()
    hand = Hand(world)
    began_us = world.now_us
    hand.admit()
    hand.swap(old_bay=4, new_bay=1)
    assert 240 <= (world.now_us - began_us) / 1e6 <= 360
    assert world.rack.pack(code(1)).place == vehicle_place("V1", 1)
    assert world.rack.pack(code(11)).place == bay_place("A4")
    assert world.yard.truck("V1").place is TruckPlace.AWAY
    assert world.pack_reading("A4").soc_pct == pytest.approx(30.0)


def test_a_repeated_number_is_recognised_and_moves_nothing() -> None:
    world = plant()
    hand = Hand(world)
    pick = RobotCommand(1, C.PICK, source=bay(1))
    told: list[str] = []
    world.cell("L1").listeners.append(lambda what, _: told.append(what))
    assert world.command("L1", pick) is A.ACCEPTED
    assert world.command("L1", pick) is A.ACCEPTED
    hand.seq = 1
    assert hand.finish() is R.DONE
    assert world.command("L1", pick) is A.ACCEPTED
    assert hand.run(C.PUT, target=bay(4)) is R.DONE
    assert world.command("L1", pick) is A.REFUSED_PARAMETER, "an older number is no new command"
    world.advance(200)
    assert told.count("accepted") == 2
    assert world.rack.pack(code(1)).place == bay_place("A4")


def test_the_result_is_held_until_it_is_acknowledged() -> None:
    world = plant()
    hand = Hand(world)
    assert hand.send(C.HOME) is A.ACCEPTED
    assert world.cell_status("L1").active_seq == 1
    world.advance(30)
    status = world.cell_status("L1")
    assert (status.active_seq, status.done_seq, status.result) == (0, 1, R.DONE)
    assert hand.send(C.HOME) is A.BUSY
    world.done_ack("L1", 7)
    assert world.cell_status("L1").result is R.DONE
    world.done_ack("L1", 1)
    assert world.cell_status("L1").result is R.NONE
    assert world.cell_status("L1").done_seq == 1
    assert hand.send(C.HOME) is A.ACCEPTED


def test_refusals_by_parameter() -> None:
    hand = Hand(plant())
    assert hand.send(C.PICK) is A.REFUSED_PARAMETER
    assert hand.send(C.PICK, source=bay(77)) is A.REFUSED_PARAMETER
    assert hand.send(C.ADMIT) is A.REFUSED_PARAMETER
    assert hand.send(C.UNLOCK, target=bay(1)) is A.REFUSED_PARAMETER
    assert hand.send(C.PUT, target=Location(LocationKind.TRANSFER, 9)) is A.REFUSED_PARAMETER


def test_refusals_by_interlock() -> None:
    world = plant()
    hand = Hand(world)
    assert hand.send(C.PICK, source=bay(4)) is A.REFUSED_INTERLOCK, "empty place"
    assert hand.send(C.PUT, target=bay(4)) is A.REFUSED_INTERLOCK, "empty gripper"
    assert hand.send(C.UNLOCK, target=seat()) is A.REFUSED_INTERLOCK, "no truck"
    assert hand.send(C.LOCATE) is A.REFUSED_INTERLOCK
    assert hand.send(C.RELEASE) is A.REFUSED_INTERLOCK
    world.set_charge_kw("A1", 100)
    assert hand.send(C.PICK, source=bay(1)) is A.REFUSED_INTERLOCK, "pack under charge"
    world.set_charge_kw("A1", 0)
    assert hand.run(C.PICK, source=bay(1)) is R.DONE
    assert hand.send(C.PUT, target=bay(2)) is A.REFUSED_INTERLOCK, "taken"
    assert hand.send(C.ADMIT, tag=101) is A.REFUSED_INTERLOCK, "robot is not at home"


def test_a_truck_that_may_move_is_not_unlocked() -> None:
    world = plant()
    hand = Hand(world)
    hand.admit()
    for fault in ("handbrake_released", "gear_in", "key_on", "truck_rolls"):
        world.inject(fault, "L1")
        assert hand.send(C.UNLOCK, target=seat()) is A.REFUSED_INTERLOCK, fault
        world.clear(fault, "L1")
    assert hand.send(C.PICK, source=seat()) is A.REFUSED_INTERLOCK, "still locked"
    assert hand.run(C.UNLOCK, target=seat()) is R.DONE
    assert world.signals("L1")[Signal.LOCKS_OPEN]
    assert hand.send(C.RELEASE) is A.REFUSED_INTERLOCK, "lock open"


def test_what_the_truck_itself_tells_keeps_it_locked() -> None:
    """S9: the PLC opens no head of a truck that can be driven, is charged, or hangs on a connector."""
    world = plant()
    hand = Hand(world)
    hand.admit()
    shown = {
        "drive_not_inhibited": Signal.DRIVE_INHIBITED,
        "hv_not_discharged": Signal.HV_DISCHARGED,
        "connector_stuck": Signal.CONNECTOR_FREE,
    }
    for fault, signal in shown.items():
        world.inject(fault, "V1")
        assert world.signals("L1")[signal] is False
        assert hand.send(C.UNLOCK, target=seat()) is A.REFUSED_INTERLOCK, fault
        world.clear(fault, "V1")
        assert world.signals("L1")[signal] is True
    assert hand.run(C.UNLOCK, target=seat()) is R.DONE
    assert hand.run(C.PICK, source=seat()) is R.DONE
    assert world.signals("L1")[Signal.GRIPPER_LOCKED] is True
    world.inject("gripper_unlocked", "L1")
    assert world.signals("L1")[Signal.GRIPPER_LOCKED] is False


def test_a_truck_that_is_worked_on_keeps_the_robot_still_wherever_it_is() -> None:
    """S2: the PLC repeats it: from the first unlock no motion begins or goes on, until home with the locks closed."""
    world = plant()
    hand = Hand(world)
    hand.admit()
    assert hand.run(C.UNLOCK, target=seat()) is R.DONE
    world.inject("hv_on", "L1")
    assert hand.send(C.LOCK, target=seat()) is A.REFUSED_INTERLOCK
    assert hand.send(C.HOME) is A.REFUSED_INTERLOCK
    assert hand.send(C.PICK, source=bay(1)) is A.REFUSED_INTERLOCK
    world.clear("hv_on", "L1")
    assert hand.send(C.PICK, source=bay(1)) is A.ACCEPTED
    world.inject("handbrake_released", "L1")
    world.advance(1.0)
    assert world.cell("L1").paused == "vehicle"
    world.advance(120.0)
    assert world.cell("L1").active_seq != 0


def test_refusals_by_mode_hold_and_silence_of_the_station() -> None:
    world = plant()
    hand = Hand(world)
    world.inject("local_mode", "L1")
    assert world.cell("L1").control_mode is ControlMode.LOCAL
    assert hand.send(C.HOME) is A.REFUSED_MODE
    world.clear("local_mode", "L1")
    world.set_hold("L1", True)
    assert world.cell_status("L1").state is CellState.PAUSED
    assert hand.send(C.HOME) is A.REFUSED_MODE
    world.set_hold("L1", False)
    world.set_station_alive("L1", False)
    assert world.cell_status("L1").state is CellState.PAUSED
    assert hand.send(C.HOME) is A.REFUSED_MODE
    world.set_station_alive("L1", True)
    assert hand.run(C.HOME) is R.DONE


def test_a_cell_whose_station_is_lost_ends_its_motion_and_then_shows_it() -> None:
    world = plant()
    hand = Hand(world)
    hand.send(C.PICK, source=bay(1))
    world.set_station_alive("L1", False)
    assert world.cell_status("L1").state is CellState.BUSY
    assert hand.finish() is R.DONE
    assert world.cell_status("L1").state is CellState.PAUSED


@pytest.mark.parametrize("mode", [mode for mode in RunMode if mode is not RunMode.AUTO])
def test_outside_the_automatic_mode_only_the_fire_procedure_and_a_reset_start(mode: RunMode) -> None:
    world = plant()
    world.cell("L1").run_mode = mode
    hand = Hand(world)
    assert hand.send(C.HOME) is A.REFUSED_MODE
    in_fire = mode is RunMode.FIRE
    assert (hand.send(C.RESET) is A.ACCEPTED) is in_fire
    if in_fire:
        assert hand.finish() is R.DONE
    assert (hand.send(C.FIRE) is A.REFUSED_MODE) is not in_fire


def test_hold_lets_the_running_motion_end() -> None:
    world = plant()
    hand = Hand(world)
    hand.send(C.PICK, source=bay(1))
    world.advance(5)
    world.set_hold("L1", True)
    assert hand.finish() is R.DONE
    assert world.cell_status("L1").state is CellState.PAUSED


def test_ownership_is_checked_with_the_claim_that_came_with_the_command() -> None:
    world = plant()
    cell = world.cell("L1")
    assert world.command("L1", RobotCommand(1, C.HOME), token=5) is A.REFUSED_OWNER
    assert cell.claim(5, owner_silent=False)
    assert not cell.claim(6, owner_silent=False)
    assert world.command("L1", RobotCommand(2, C.HOME), token=6) is A.REFUSED_OWNER
    assert cell.claim(6, owner_silent=True)
    assert world.command("L1", RobotCommand(3, C.HOME), token=6) is A.ACCEPTED
    assert cell.claim(0, owner_silent=False)
    assert cell.owner == 0


@pytest.mark.parametrize(
    ("fault", "signal"), [("estop", Signal.ESTOP_OK), ("power_cut", Signal.POWER_OK), ("fire", Signal.FIRE_OK)]
)
def test_a_trip_aborts_the_motion_where_it_is(fault: str, signal: Signal) -> None:
    world = plant()
    hand = Hand(world)
    hand.send(C.PICK, source=bay(1))
    world.advance(35)  # gripped, not yet lifted
    world.inject(fault, "L1")
    status = world.cell_status("L1")
    assert (status.result, status.state) == (R.ABORTED, CellState.ALARM)
    assert status.signals[signal] is False
    assert world.rack.pack(code(1)).place == gripper_place("L1")
    world.done_ack("L1", 1)
    assert hand.send(C.HOME) is A.REFUSED_INTERLOCK
    world.clear(fault, "L1")
    if fault == "power_cut":
        assert hand.send(C.HOME) is A.REFUSED_INTERLOCK, "nobody has confirmed"
        world.inject("person_confirms", "L1")
        assert world.signals("L1")[Signal.HOMED] is False
        assert hand.send(C.PUT, target=bay(4)) is A.REFUSED_INTERLOCK, "not homed"
    assert hand.run(C.HOME) is R.DONE


@pytest.mark.parametrize("fault", ["curtain", "door"])
def test_an_intrusion_pauses_until_a_person_confirms(fault: str) -> None:
    world = plant()
    hand = Hand(world)
    hand.send(C.PICK, source=bay(1))
    world.advance(10)
    world.inject(fault, "L1")
    assert world.cell_status("L1").state is CellState.PAUSED
    world.inject("person_confirms", "L1")
    assert world.cell_status("L1").state is CellState.PAUSED, "still broken"
    world.clear(fault, "L1")
    world.advance(500)
    assert world.cell_status("L1").state is CellState.PAUSED, "a clear beam alone does not resume"
    world.set_hold("L1", True)
    world.set_hold("L1", False)
    assert world.cell_status("L1").state is CellState.BUSY
    assert hand.finish() is R.DONE


def test_a_handbrake_released_under_the_robot_pauses_it() -> None:
    world = plant()
    hand = Hand(world)
    hand.admit()
    hand.run(C.UNLOCK, target=seat())
    hand.send(C.PICK, source=seat())
    world.advance(5)
    world.inject("handbrake_released", "L1")
    assert world.cell_status("L1").state is CellState.PAUSED
    world.clear("handbrake_released", "L1")
    world.inject("person_confirms", "L1")
    assert hand.finish() is R.DONE


def test_a_truck_that_rolls_aborts_the_work_at_it() -> None:
    world = plant()
    hand = Hand(world)
    hand.admit()
    hand.run(C.UNLOCK, target=seat())
    hand.send(C.PICK, source=seat())
    world.advance(5)
    world.inject("truck_rolls", "L1")
    assert world.cell_status("L1").result is R.ABORTED
    assert world.signals("L1")[Signal.VEHICLE_IN_POSITION] is False


def test_an_axis_alarm_needs_its_cause_gone_and_a_reset() -> None:
    world = plant()
    hand = Hand(world)
    hand.send(C.PICK, source=bay(1))
    world.advance(5)
    world.inject("axis_alarm", "L1")
    assert world.cell_status("L1").result is R.FAILED
    assert world.cell_status("L1").fault_code == 1101
    world.done_ack("L1", 1)
    hand.run(C.RESET)
    assert hand.send(C.HOME) is A.REFUSED_INTERLOCK
    world.clear("axis_alarm", "L1")
    assert hand.send(C.HOME) is A.REFUSED_INTERLOCK, "latched"
    hand.run(C.RESET)
    assert world.cell_status("L1").fault_code == 0
    assert hand.run(C.HOME) is R.DONE


def test_a_pick_that_misses_may_be_tried_again() -> None:
    world = plant()
    hand = Hand(world)
    world.inject("pick_misses", "L1", times=2)
    assert hand.run(C.PICK, source=bay(1)) is R.FAILED
    assert world.cell_status("L1").fault_codes == (1203,)
    assert hand.run(C.PICK, source=bay(1)) is R.FAILED
    assert hand.run(C.PICK, source=bay(1)) is R.DONE
    assert world.cell_status("L1").fault_codes == ()


def test_a_jammed_gripper_needs_a_reset() -> None:
    world = plant()
    hand = Hand(world)
    world.inject("gripper_jam", "L1")
    assert hand.run(C.PICK, source=bay(1)) is R.FAILED
    assert hand.send(C.PICK, source=bay(1)) is A.REFUSED_INTERLOCK
    hand.run(C.RESET)
    assert hand.run(C.PICK, source=bay(1)) is R.DONE


def test_heads_that_stick_fail_the_lock_and_show_which() -> None:
    world = plant()
    hand = Hand(world)
    hand.admit()
    world.inject("head_stuck_closed", "L1", head=2)
    assert hand.run(C.UNLOCK, target=seat()) is R.FAILED
    assert world.cell_status("L1").heads_open[:5] == (True, False, True, True, None)
    world.clear("head_stuck_closed", "L1")
    assert hand.run(C.UNLOCK, target=seat()) is R.DONE
    world.inject("head_stuck_open", "L1", head=3)
    assert hand.run(C.LOCK, target=seat()) is R.FAILED
    assert world.cell_status("L1").heads_closed[:4] == (True, True, False, True)
    assert world.signals("L1")[Signal.LOCKS_CLOSED] is False


def test_a_lying_limit_switch_does_not_make_the_lock_closed() -> None:
    world = plant()
    hand = Hand(world)
    hand.admit()
    assert hand.run(C.UNLOCK, target=seat()) is R.DONE
    world.inject("head_stuck_open", "L1", head=1)
    world.inject("lock_lies", "L1", head=1)
    assert hand.run(C.LOCK, target=seat()) is R.FAILED
    status = world.cell_status("L1")
    assert all(status.heads_closed[:4])
    assert status.signals[Signal.LOCKS_CLOSED] is False, "the other sensors do not agree"
    assert hand.send(C.RELEASE) is A.REFUSED_INTERLOCK


def test_lidar_misses_then_finds() -> None:
    world = plant()
    hand = Hand(world)
    world.arrive("V1", [30])
    hand.run(C.ADMIT, tag=101)
    world.inject("lidar_misses", "L1", times=2)
    assert [hand.run(C.LOCATE) for _ in range(3)] == [R.FAILED, R.FAILED, R.DONE]


def test_a_lost_acknowledgement_does_not_lose_the_command() -> None:
    world = plant()
    hand = Hand(world)
    world.inject("lost_ack", "L1")
    assert hand.send(C.PICK, source=bay(1)) is A.ACCEPTED
    status = world.cell_status("L1")
    assert (status.ack_seq, status.active_seq) == (0, 1)
    assert hand.send(C.HOME) is A.BUSY
    hand.seq = 1
    assert hand.finish() is R.DONE
    assert world.cell_status("L1").done_seq == 1


def test_slow_commands_take_longer() -> None:
    world = plant()
    hand = Hand(world)
    world.inject("slow_command", "L1", factor="4")
    hand.send(C.HOME)
    world.advance(50)
    assert world.cell("L1").active is not None
    world.advance(20)
    assert world.cell("L1").active is None


def test_a_truck_that_does_not_come_is_given_up() -> None:
    world = plant()
    hand = Hand(world)
    world.arrive("V1")
    world.inject("does_not_come", "V1")
    assert hand.run(C.ADMIT, tag=101) is R.FAILED
    assert world.cell_status("L1").fault_codes == (2112,)
    world.clear("does_not_come", "V1")
    assert hand.run(C.ADMIT, tag=101) is R.DONE


def test_a_truck_that_arrives_late_still_answers_the_call() -> None:
    world = plant()
    hand = Hand(world)
    hand.send(C.ADMIT, tag=101)
    world.advance(60)
    world.arrive("V1")
    assert hand.finish() is R.DONE
    assert world.cell_status("L1").vehicle_tag == 101


def test_fire_carries_the_hot_pack_to_the_tank_once_it_is_ready() -> None:
    world = plant()
    hand = Hand(world)
    world.inject("fire", "L1")
    assert hand.send(C.PICK, source=bay(1)) is A.REFUSED_INTERLOCK
    assert hand.send(C.FIRE, source=bay(1)) is A.ACCEPTED
    world.advance(50)
    world.inject("tank_not_ready", "L1")
    world.advance(40)
    assert world.rack.pack(code(1)).place == gripper_place("L1"), "it waits at the tank"
    world.clear("tank_not_ready", "L1")
    assert hand.finish() is R.DONE
    assert world.rack.pack(code(1)).place == TANK
    assert world.signals("L1")[Signal.TANK_READY] is False
    assert hand.send(C.FIRE, source=bay(2)) is A.REFUSED_INTERLOCK, "the tank is taken"


def test_fire_gives_up_with_the_pack_in_the_gripper() -> None:
    world = plant()
    hand = Hand(world)
    hand.send(C.FIRE, source=bay(1))
    world.advance(50)
    world.inject("tank_not_ready", "L1")
    assert hand.finish() is R.FAILED
    assert world.rack.pack(code(1)).place == gripper_place("L1")
    world.clear("tank_not_ready", "L1")
    assert hand.run(C.FIRE) is R.DONE


def test_two_robots_at_one_bay_never_put_two_packs_there() -> None:
    world = plant(lanes=2)
    one, two = Hand(world, "L1"), Hand(world, "L2")
    one.run(C.PICK, source=bay(1))
    two.run(C.PICK, source=bay(2))
    one.send(C.PUT, target=bay(4))
    two.send(C.PUT, target=bay(4))
    results = {one.finish(), two.finish()}
    assert results == {R.DONE, R.FAILED}


def test_a_transfer_bay_is_quicker_and_shows() -> None:
    world = plant()
    hand = Hand(world)
    hand.run(C.PICK, source=bay(1))
    began_us = world.now_us
    hand.run(C.PUT, target=TRANSFER)
    assert (world.now_us - began_us) / 1e6 <= 34
    assert world.signals("L1")[Signal.TRANSFER_OCCUPIED]


def test_a_person_moves_a_pack_in_local_mode() -> None:
    world = plant()
    with pytest.raises(PlantError, match="not in local mode"):
        world.inject("local_move", "L1", source=1, target=4)
    world.inject("local_mode", "L1")
    world.inject("local_move", "L1", source=1, target=0)
    world.inject("local_move", "L1", source=0, target=4)
    assert world.rack.pack(code(1)).place == bay_place("A4")


def test_signals_of_a_silent_truck_are_unknown() -> None:
    world = plant()
    hand = Hand(world)
    hand.admit()
    world.inject("vehicle_link_lost", "V1")
    signals = world.signals("L1")
    assert signals[Signal.VEHICLE_LINK] is False
    assert signals[Signal.HANDBRAKE_ON] is None
    assert signals[Signal.PACK_ACCEPTED] is None
    assert hand.send(C.UNLOCK, target=seat()) is A.REFUSED_INTERLOCK


def test_two_seats_have_their_own_heads() -> None:
    world = Plant(station(seats=2), seed=1, start_at=plant().start_at)
    hand = Hand(world)
    hand.admit()
    assert hand.run(C.UNLOCK, target=seat(2)) is R.DONE
    assert world.cell_status("L1").heads_open == ((False,) * 4 + (None,) * 4 + (True,) * 4 + (None,) * 4)
    assert hand.send(C.PICK, source=seat(1)) is A.REFUSED_INTERLOCK
    assert hand.run(C.PICK, source=seat(2)) is R.DONE
    assert world.signals("L1")[Signal.SEAT_2_OCCUPIED] is False
