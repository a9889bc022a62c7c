"""Packed tables of places, built by .ci/build_places.py; ATTRIBUTION.md names their sources."""
