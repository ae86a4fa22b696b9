"""One robot cell behind a PLC: the port, the register maps, the Modbus driver, the fault catalogue."""
