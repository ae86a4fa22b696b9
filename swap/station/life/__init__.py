"""What a controller knows of its own life: its database and the hold without one, the lag of its loops, its status.

Nothing here knows swaps, packs or rows.
"""
