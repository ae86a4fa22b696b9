"""Modbus TCP link and register maps, which are data.

The one part of this room that `battery_bms` may use too.
"""
