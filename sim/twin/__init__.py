"""Live controller and study side by side on the same trucks, and a recorded day played again.

What differs is told, event by event.
"""
