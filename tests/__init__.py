"""Tests, in folders that mirror the rooms. They may import everything."""
