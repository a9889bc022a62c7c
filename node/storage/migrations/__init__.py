"""Numbered migrations; a released one is never changed."""
