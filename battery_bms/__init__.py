"""Packs and chargers behind their ports: readings, set-points, limits, telemetry codecs.

The physics of a pack stands here too, in `pack/`; it is given the time and knows no wire.
"""
