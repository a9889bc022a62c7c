"""One module per place of the panel; each ends with its table of routes."""
