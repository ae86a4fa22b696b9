"""Custody: who held which pack, where, at each instant, from the journals of all stations.

`take` brings moves and readings over, each once; `spans` makes spans of moves, purely, so there is neither a gap nor an
overlap that no journal tells of; `show` answers who held what, and exports the life-cycle events of a pack.
"""
