"""Pure decisions: which pack, which bay, which truck next, how much power, at what price.

Views go in and decisions come out; there is no I/O and no clock here.
"""
