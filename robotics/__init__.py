"""One robot cell behind a PLC: the port, the Modbus driver, the fault catalogue.

It asks the cell and reads its signals; when to ask is decided elsewhere.
"""
