"""Packed tables of places, built by tools/build_places.py; ATTRIBUTION.md names their sources."""
