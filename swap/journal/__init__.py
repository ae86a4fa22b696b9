"""The journal's form: canonical bytes, the chain of hashes over them, and heads kept outside the database.

Pure but for the heads' file: nothing here knows the tables.
"""
