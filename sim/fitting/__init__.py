"""From a record to a scenario: who came, when, how empty, and how long swaps took, as the numbers of a scenario file.

Reads recorded arrivals and the journal; says of each fitted number how well it fits.
"""
