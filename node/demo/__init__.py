"""Three nodes on this machine that pair, form circles and exchange fictitious alerts (SCHEMAS §9)."""
