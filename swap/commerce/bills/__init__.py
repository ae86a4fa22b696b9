"""Bills of swaps, invoices, closed months and settlements.

`terms`, `quantity`, `pricing`, `money`, `sharing` and `capitals` are rules, pure; the other modules read and write.
"""
