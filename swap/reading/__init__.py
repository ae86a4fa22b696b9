"""Read models: what a station is now, lists with cursors, a recorded day, the charging plan ahead.

Nothing here writes.
"""
