"""Who is who: accounts of people, keys of machines, what each may do, and whose rows each sees.

Decisions are pure (`rights`, `principal`, `throttle`); what changes an account leaves a row in its record of changes.
Instants here are real time, however fast a station's clock runs.
"""
