"""What is kept, how finely and where: old samples become means, the oldest part of a journal goes into a file.

Works beside control, in short transactions; what money, stock or a proof rests on is never taken away.
"""
