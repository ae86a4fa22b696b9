"""The search for a station's size: is its answer right, what does it cost, does what it wrote hold when simulated?"""
