"""The plant shown as Modbus TCP devices, register by register.

Drivers of the live station are pointed at it unchanged.
"""
