"""What a run leaves to read: records, tables, plots, one HTML page.

Its words are in both languages, and every assumption of a scenario is listed with them.
"""
