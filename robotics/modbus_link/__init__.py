"""Modbus TCP link and register maps: the one part of this room that `battery_bms` may use too."""
