"""What surrounds a station and cannot be commanded: weather, sun, prices, demand response, people at work.

Plant and study can share it; it reads scenarios and knows nothing else.
"""
