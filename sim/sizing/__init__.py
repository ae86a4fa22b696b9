"""The search for the cheapest station that keeps a promise.

What can be ruled out by arithmetic is ruled out before anything is simulated.
"""
