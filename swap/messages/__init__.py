"""What the parts of the system say to each other and leave on record: events, requests and their answers.

Every message is one frozen, strict model; the journal, the HTTP interface, the console and the words follow from it.
"""
