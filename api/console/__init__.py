"""The live console: one page that a person at the station keeps open. Texts come from gettext catalogues."""
