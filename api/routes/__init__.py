"""Thin routes of `/api/v1`: parse, call one function of the swap room, map the answer."""
