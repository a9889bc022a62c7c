"""The REST API under /api/v1, and the server it shares with the panel (SCHEMAS §7, §8)."""
