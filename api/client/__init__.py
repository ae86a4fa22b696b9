"""The HTTP interface for programs in Python: typed calls on the server's own models. Every problem is one exception,
tokens are renewed, and what changes something carries a key, with which it is sent again until it is known."""
