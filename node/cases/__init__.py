"""Cases: the full record, which never leaves the node (SCHEMAS §2)."""
