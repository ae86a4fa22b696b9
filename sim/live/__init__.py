"""The live controller beside the simulated plant: without a wire on virtual time, or with trucks that book over HTTP.

Nothing of the study is known here.
"""
