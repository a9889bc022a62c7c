"""The protocol without I/O, clock or chance; `SPEC.md` beside it is the specification it implements."""
