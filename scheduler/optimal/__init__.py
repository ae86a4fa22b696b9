"""The cheapest charging plan that keeps every promise: a linear program behind the planner's port.

What is asked (`problem.py`) is frozen and knows no solver; the solver's answer is checked outside it before anything
rests on it, and a plan becomes guides that the one charging rule carries out, so no hard limit hangs on it.
"""
