"""Doors of the system: HTTP, live console, command line, and the settings of a process.

Only `wiring.py` and `cli` know the simulation; everybody else here asks the swap room.
"""
