"""What a swap is, where every pack is, who may move next, what it costs.

The only room that touches the database.
"""
