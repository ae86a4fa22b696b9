"""The simulated plant, its Modbus devices, and the planner's study on simulated time."""
