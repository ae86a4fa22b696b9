"""The register: what belongs to no station. Firms, persons, pack kinds, vehicle models, vehicles.

Its rows are the truth. A station file brings in what is new (`swap.config.register_rows`); where it contradicts a
row, the start is refused until a person has chosen: `swap register import` takes the file's word.
"""
