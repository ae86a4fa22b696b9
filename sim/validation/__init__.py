"""The study held against queueing theory and published stations."""
