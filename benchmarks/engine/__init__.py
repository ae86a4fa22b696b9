"""The study's engine: its speed and memory, from source and compiled, against a bare agenda and an earlier checkout."""
