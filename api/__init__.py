"""Doors: HTTP, console, command line; settings; the one composition root (`wiring.py`)."""
