"""The command line: one file a group of commands.

Commands import what they need when they run, so that help answers at once.
"""
