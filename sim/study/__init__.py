"""The planner's engine: one station over simulated days, many times, with the live station's decisions.

It draws, counts and gives intervals.
"""
