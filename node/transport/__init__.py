"""Links between nodes: one websocket per pair of peers over mutual, pinned TLS 1.3 (PROTOCOL §2)."""
