"""Minimisation: from a confidential case to the view that one audience tier may see (DESIGN §7, SCHEMAS §3)."""
