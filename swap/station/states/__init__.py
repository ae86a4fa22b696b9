"""The state tables beside the session: a station's mode, a pack in its bay. Pure."""
