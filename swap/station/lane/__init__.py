"""One lane, live: what is known of it, the step of its swap, what a step writes, and its cell beside the swap.

The steps themselves are decided in `swap.station.sequence`; nothing here decides what the robot does next.
"""
