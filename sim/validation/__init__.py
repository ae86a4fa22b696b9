"""The study held against queueing theory and published stations.

Every case has its exact or printed answer and a stated interval.
"""
