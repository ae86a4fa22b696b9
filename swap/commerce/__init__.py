"""Bookings, prices and bills.

It reads the journal and its own tables, never the memory of the controller.
"""
