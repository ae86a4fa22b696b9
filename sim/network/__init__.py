"""Several stations that share trucks and carriers of packs, over simulated days.

Each station is the one of the study; what moves between them is added here.
"""
