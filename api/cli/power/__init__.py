"""Commands about power: the plan of least cost, and demand response.

What they print is reckoned below `swap`; here are the tables and sentences.
"""
