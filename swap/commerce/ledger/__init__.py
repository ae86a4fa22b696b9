"""The ledger: double entry in the books of each firm, posted once and never changed.

Rules (`transfers`, `postings`, `chart`) are pure; `book` writes, `balances` reads.
"""
