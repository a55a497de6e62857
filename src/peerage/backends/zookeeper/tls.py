"""Certificates: what a server is verified with, and the certificate that this process shows to it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from peerage.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

KEY_PASSWORD: Final = "PEERAGE_ZOOKEEPER_KEY_PASSWORD"  # noqa: S105 - the name of a variable


def variable(option: str) -> str:
    """Return the name of the environment variable that replaces an option of the URL."""
    return f"PEERAGE_ZOOKEEPER_{option.upper()}"


@dataclass(frozen=True, slots=True)
class Tls:
    """What a TLS connection is verified with, and the certificate that this process shows in it."""

    ca: str | None
    """File of the certificate authorities, PEM; None for the system's."""
    certificate: str | None
    """File of the certificate of this process and its chain, PEM."""
    key: str | None
    """File of the certificate's key; None if the key is in the certificate's file."""
    password: str | None = field(default=None, repr=False)
    """Of the key."""
    check_hostname: bool = True
    """Whether the server's certificate must have the server's name; it must be valid in any case."""

    def context(self) -> "ssl.SSLContext":
        """Return what to connect with. Reads the files, so it may block.

        Raises:
            ConfigurationError: a file can't be read or used.
        """
        import ssl  # noqa: PLC0415 - only where TLS is used

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Some distributions' Python, Debian's among them, allows older versions by default.
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.check_hostname
        if self.ca is None:
            context.load_default_certs()
        else:
            _check_readable(self.ca, "ca", "the certificate of the authority that signed the servers'")
            try:
                context.load_verify_locations(self.ca)
            except OSError as error:
                raise ConfigurationError(
                    f"ca: {self.ca!a} has no usable certificate ({_reason(error)}): name a PEM file with the "
                    "certificate of the authority that signed the servers'."
                ) from None
        if self.certificate is not None:
            self._load_chain(context, self.certificate)
        return context

    def _load_chain(self, context: "ssl.SSLContext", certificate: str) -> None:
        _check_readable(certificate, "cert", "the certificate of this client")
        if self.key is not None:
            _check_readable(self.key, "key", "the key of this client's certificate")
        asked = False

        def password() -> str:
            nonlocal asked
            asked = True
            return self.password or ""

        try:
            # A function even without a password: otherwise OpenSSL asks for one at the terminal.
            context.load_cert_chain(certificate, self.key, password)
        except (OSError, ValueError) as error:
            reason = _reason(error)
        else:
            return
        if asked and reason != "KEY_VALUES_MISMATCH":
            what = f"doesn't open with {KEY_PASSWORD}" if self.password else "is encrypted"
            raise ConfigurationError(
                f"key: {self.key or certificate!a} {what}: set {KEY_PASSWORD} to the key's password."
            )
        if self.key is None:
            raise ConfigurationError(
                f"cert: {certificate!a} doesn't have both a certificate and its key ({reason}): "
                "name a PEM file with both, or the key's file with key=."
            )
        raise ConfigurationError(
            f"cert, key: {certificate!a} and {self.key!a} aren't a certificate and its key ({reason}): "
            "name two PEM files that belong together."
        )


def _check_readable(file: str, option: str, what: str) -> None:
    # OpenSSL's own errors don't say which file.
    try:
        with open(file, "rb") as stream:  # noqa: PTH123 - a Path costs more than the reading
            stream.read(1)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{option}: {file!a} can't be read ({_reason(error)}): name a PEM file with {what}, "
            f"with {option}= or {variable(option)}."
        ) from None


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
