"""What charges the packs, live: the rack with its readings and set-points, the site's meter, sun and storage.

`view.py` turns database and readings into what the rules of `scheduler` read; nothing else here knows the rules' form.
"""
