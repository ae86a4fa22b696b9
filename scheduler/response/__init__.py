"""Demand response as a programme: what is paid and by which baseline, what a station can give, what it may accept.

Pure, as all of `scheduler`: metered slots, spans and courses of charging go in, lines and answers come out.
"""
