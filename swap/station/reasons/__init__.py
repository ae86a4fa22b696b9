"""What each lane and each waiting truck waits for, found by the code that decides and published for everybody to read.

Nothing here decides, and nothing that decides reads it.
"""
