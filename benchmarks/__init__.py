"""Speed measurements: every module here with `run() -> dict` is one. `make bench` runs them."""
