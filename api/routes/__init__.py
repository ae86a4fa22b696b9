"""Thin routes of `/api/v1`.

Each parses, calls one function of the swap room, and maps the answer.
"""
