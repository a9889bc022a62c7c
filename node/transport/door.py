"""The door: which certificates this node trusts, changeable while it listens (PROTOCOL §2).

An `SSLContext` can learn a certificate but never forget one, so the context the listener holds is a shell: for each
connection it delegates to a current context that is built anew after every change. When a handshake ends, and before
any application byte, the leaf is compared with what is pinned at that moment.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

from almenara.crypto.certificate import certificate_digest
from almenara.node.transport.errors import CertificateTaken, NotPinned

if TYPE_CHECKING:
    from pathlib import Path

Password = Callable[[], bytes]
LeafCheck = Callable[[bytes | None], bool]
Cut = Callable[[], None]


class _CheckedObject(ssl.SSLObject):
    """A TLS connection that asks its context about the other side's leaf as soon as the handshake is through."""

    def do_handshake(self) -> None:
        super().do_handshake()
        context = self.context
        if not isinstance(context, _CheckedContext) or not context.accepts(self.getpeercert(binary_form=True)):
            raise ssl.SSLCertVerificationError("the certificate is not the pinned one")


class _CheckedContext(ssl.SSLContext):
    """TLS 1.3 without resumption and without names; `accepts` has the last word on the leaf."""

    sslobject_class = _CheckedObject
    accepts: LeafCheck

    @classmethod
    def build(cls, side: int, accepts: LeafCheck) -> Self:
        context = cls(side)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.accepts = accepts
        return context

    def trust(self, certificates: Iterable[bytes], mode: ssl.VerifyMode) -> None:
        """Take exactly these certificates for anchors; each is itself, not an issuer of others."""
        self.verify_mode = mode
        self.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        anchors = b"".join(certificates)
        if anchors:
            self.load_verify_locations(cadata=anchors)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,  # noqa: ARG002 # a name would travel in clear, and nobody checks it
        session: ssl.SSLSession | None = None,  # noqa: ARG002 # nothing is ever resumed
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side=server_side)


class _Shell(ssl.SSLContext):
    """What the listener holds for life: every new connection takes the context that is current then."""

    current: Callable[[], ssl.SSLContext]

    @classmethod
    def around(cls, current: Callable[[], ssl.SSLContext]) -> Self:
        shell = cls(ssl.PROTOCOL_TLS_SERVER)
        shell.current = current
        return shell

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *_: Any, **__: Any) -> ssl.SSLObject:
        return self.current().wrap_bio(incoming, outgoing, server_side=True)


class Door:
    """The pinned certificates of verified peers, and the TLS contexts made from them.

    Peers are named by their raw 32-byte node id, certificates are DER.
    """

    def __init__(self, pem_path: Path, password: Password) -> None:
        """Hold a certificate and its encrypted key.

        Raises:
            OSError: the file cannot be read; `ssl.SSLError` (an OSError) if the password does not open the key.

        """
        self._pem_path = pem_path
        self._password = password
        self.certificate = _certificate_in(pem_path)  # our own, DER
        self._pins: dict[bytes, bytes] = {}
        self._owners: dict[bytes, bytes] = {}
        self._live: dict[bytes, set[Cut]] = {}
        self._strangers = False
        self._current: ssl.SSLContext | None = self._build_server_context()
        self.server_context: ssl.SSLContext = _Shell.around(self._server_context)

    def pin(self, node_id: bytes, certificate: bytes) -> None:
        """Let this node in under this certificate from the next connection on; another one it had is dropped and cut.

        Raises:
            CertificateTaken: as `check_free`.

        """
        self.check_free(node_id, certificate)
        if self._pins.get(node_id) == certificate:
            return
        self.unpin(node_id)
        self._pins[node_id] = certificate
        self._owners[certificate] = node_id
        self._current = None

    def check_free(self, node_id: bytes, certificate: bytes) -> None:
        """Check that a node may claim a certificate: a card can name any, a handshake proves only who holds the key.

        Raises:
            CertificateTaken: another peer, or this node itself, already uses it.

        """
        if self._owners.get(certificate, node_id) != node_id or certificate == self.certificate:
            raise CertificateTaken("the certificate is already another node's")

    def unpin(self, node_id: bytes) -> None:
        """Forget a node's certificate and cut its live links now; does nothing for a node that is not pinned."""
        certificate = self._pins.pop(node_id, None)
        if certificate is None:
            return
        del self._owners[certificate]
        self._current = None
        for cut in self._live.pop(node_id, set()):
            cut()

    def open_for_strangers(self, allowed: bool) -> None:
        """Let connections without a certificate through the handshake, while an invitation is open."""
        self._strangers = allowed
        self._current = None

    @property
    def strangers_allowed(self) -> bool:
        """Whether a connection without a certificate gets past the handshake."""
        return self._strangers

    def certificate_of(self, node_id: bytes) -> bytes:
        """Return the pinned certificate. Raises NotPinned."""
        try:
            return self._pins[node_id]
        except KeyError:
            raise NotPinned("the node is not pinned") from None

    def peer_of(self, ssl_object: ssl.SSLObject | None) -> bytes | None:
        """Return who is on the other end: a node pinned at this moment, or None for everybody else."""
        leaf = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        return self._owners.get(leaf) if leaf is not None else None

    def watch(self, node_id: bytes, cut: Cut) -> Callable[[], None]:
        """Register a live link: `cut` is called when the node is unpinned. Returns how to end that.

        Raises:
            NotPinned: the node was unpinned while the link was being made.

        """
        self.certificate_of(node_id)
        self._live.setdefault(node_id, set()).add(cut)
        return lambda: self._live.get(node_id, set()).discard(cut)

    def client_context(self, certificate: bytes) -> ssl.SSLContext:
        """Dial a peer: our certificate shown, exactly this one accepted."""
        context = _CheckedContext.build(ssl.PROTOCOL_TLS_CLIENT, lambda leaf: leaf == certificate)
        context.trust([certificate], ssl.CERT_REQUIRED)
        context.load_cert_chain(self._pem_path, password=self._password)
        return context

    def _server_context(self) -> ssl.SSLContext:
        if self._current is None:
            self._current = self._build_server_context()
        return self._current

    def _build_server_context(self) -> ssl.SSLContext:
        context = _CheckedContext.build(ssl.PROTOCOL_TLS_SERVER, self._may_enter)
        context.num_tickets = 0  # a ticket would let a removed peer back in
        context.trust(self._owners, ssl.CERT_OPTIONAL if self._strangers else ssl.CERT_REQUIRED)
        context.load_cert_chain(self._pem_path, password=self._password)
        return context

    def _may_enter(self, leaf: bytes | None) -> bool:
        return self._strangers if leaf is None else leaf in self._owners


def pairing_context(digest: bytes) -> ssl.SSLContext:
    """Dial a node we only have an invitation of: no certificate shown, the other's known by `certificate_digest`.

    There is no anchor yet to build a chain from, so the digest is the whole check, made when the handshake ends.
    """
    context = _CheckedContext.build(
        ssl.PROTOCOL_TLS_CLIENT, lambda leaf: leaf is not None and certificate_digest(leaf) == digest
    )
    context.verify_mode = ssl.CERT_NONE
    return context


def _certificate_in(pem_path: Path) -> bytes:
    text = pem_path.read_text(encoding="ascii")
    start = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(text[start:end])
