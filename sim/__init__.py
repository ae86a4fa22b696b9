"""The simulated world: the plant with its Modbus devices, and the study of the planner.

Both ask the decisions and the physics of the rooms below; nothing below knows them.
"""
