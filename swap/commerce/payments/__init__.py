"""Payments: how money comes and goes, and what it pays; each is posted to the ledger in the transaction that takes it.

Wallets, bank files, an acquirer with two channels, what a payment pays, refunds, deposits, netting between firms.
"""
