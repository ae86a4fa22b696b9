"""The state tables beside the session: the mode of a station, a pack in its bay.

They are pure, and everything that changes a state asks them.
"""
