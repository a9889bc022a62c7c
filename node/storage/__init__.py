"""What a node keeps: one schema and one repository per noun, on SQLCipher or PostgreSQL (DESIGN §13).

`engine.open_store` opens it; all else is reached through a transaction: `async with store.write() as tx: tx.peers…`.
"""
