"""The edge of the HTTP interface: who may speak to it, how much, how long, and in which characters.

What gets past it is a request of a known host with texts that every medium can carry; no route judges that again.
"""
