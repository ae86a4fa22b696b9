"""Commerce: bookings, bills, leases; consumes events and its own tables."""
