"""The station file: its sections, what must agree in it, and how it comes into the database.

All its errors are reported at once.
"""
