"""Leases of packs apart from trucks (车电分离): contracts in versions, what they charge, which truck may have a pack.

Rules (`terms`, `periods`, `rating`, `rights`, `states`) are pure; `contracts`, `facts`, `rent` and `settle` read and
write rows of commerce. What is charged becomes rows of `swap.commerce.charges`, each once.
"""
