"""What a run leaves to read: records, tables, plots, words in both languages, one HTML page."""
