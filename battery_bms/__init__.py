"""Packs and chargers: readings, set-points, physics, health, telemetry codecs."""
