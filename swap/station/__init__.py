"""The controller of one station: lanes, rack, thermal watch, inventory, lease, answers to people.

It stores before it commands and confirms from sensors; what comes next is said by the pure tables inside.
"""
