"""The search for the cheapest station that keeps a promise, and what can be ruled out before anything is simulated."""
