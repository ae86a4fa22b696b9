"""The simulated truth of a live station: cells, robot motion, rack, packs, yard and their faults.

It moves in time and knows no wire.
"""
