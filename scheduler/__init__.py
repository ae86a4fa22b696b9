"""Pure decisions: which pack, which bay, which truck next, how much power. No I/O, no clock."""
