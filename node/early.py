"""Key packets that came before their statements: each opens its own statement and nothing else (PROTOCOL §5.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from almenara.node.storage.rows import StatementRow
from almenara.protocol.errors import Defect, RemoteError
from almenara.protocol.keys import SignedKeyPacket, parse_key_packet

if TYPE_CHECKING:
    from almenara.crypto.identity import NodeId
    from almenara.node.keyring import Keyring
    from almenara.node.storage.engine import Transaction

PACKETS_PER_PEER = 32  # that one peer may have us keep: statements follow their packets within seconds


class EarlyPackets:
    """Kept as rows without a statement's body; their keys are in the keyring as pending."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._packets: dict[bytes, tuple[SignedKeyPacket, bytes]] = {}  # statement id -> packet, who brought it

    def __contains__(self, statement_id: bytes) -> bool:
        return statement_id in self._packets

    def load(self, rows: list[StatementRow]) -> None:
        """Take over what the database holds."""
        self._packets.clear()
        for row in rows:
            if not row.body:
                self._hold(parse_key_packet(row.content), row.issuer)

    async def keep(self, tx: Transaction, signed: SignedKeyPacket, content: bytes, source: NodeId, now: int) -> None:
        """Until the statement comes. Raises `RemoteError(TOO_LARGE)` when this peer has too many waiting."""
        brought = [peer for _, peer in self._packets.values() if peer == source.raw]
        if len(brought) >= PACKETS_PER_PEER:
            raise RemoteError(Defect.TOO_LARGE, "packet", f"at most {PACKETS_PER_PEER} before their statements")
        self._hold(signed, source.raw)
        await tx.statements.put(_row(signed, content, source, now))

    def _hold(self, signed: SignedKeyPacket, source: bytes) -> None:
        packet, statement_id = signed.packet, signed.packet.statement[:16]
        self._packets[statement_id] = signed, source
        self._keyring.add_statement(packet.circle, statement_id, packet.key, pending=True)
        self._keyring.add_carry(statement_id, packet.carry_secret)

    def take(self, statement_id: bytes) -> SignedKeyPacket | None:
        """The packet of a statement that has come; its key is not pending any more, but held or forgotten."""
        found = self._packets.pop(statement_id, None)
        if found is None:
            return None
        self._keyring.drop(statement_id)
        return found[0]


def _row(signed: SignedKeyPacket, content: bytes, source: NodeId, now: int) -> StatementRow:
    """No body yet, the packet in place of the object, and who brought it in place of the issuer."""
    packet = signed.packet
    return StatementRow(
        circle_id=packet.circle,
        statement_id=packet.statement[:16],
        number=packet.number,
        parent=b"",
        issuer=source.raw,
        body=b"",
        content=content,
        epoch_key=None,
        carry_secret=None,
        received_at=now,
    )
