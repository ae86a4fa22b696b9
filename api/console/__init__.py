"""The live console: one page that a person at the station keeps open.

It is drawn from read models, and its texts come from the gettext catalogues.
"""
