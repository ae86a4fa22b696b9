"""The swap as a table and the pure step over it: recipes, permissives, session, recovery.

No database, no wire, no clock.
"""
