"""What a planner asks: scenario files, read strictly, and the demand they stand for.

Every other room of the simulation reads them; they know none of it.
"""
