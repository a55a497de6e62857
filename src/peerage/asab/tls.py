"""SSL contexts described by a section of the configuration."""

import ssl
from typing import TYPE_CHECKING, Any, ClassVar

from peerage.asab.config import Configurable
from peerage.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


class SSLContextBuilder(Configurable):
    """Makes an SSL context from a section: ``cert``, ``key``, ``key_password`` and so on."""

    ConfigDefaults: ClassVar[dict[str, Any]] = {
        "cert": "",  # PEM file with the certificate and the chain of its issuers
        "key": "",  # PEM file; by default the same file
        "key_password": "",
        "cafile": "",
        "capath": "",
        "cadata": "",
        "ciphers": "",
        "dh_params": "",
        "verify_mode": "",  # of the peer's certificate: CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED
    }

    def __init__(self, config_section_name: str, config: Any = None) -> None:
        super().__init__(config_section_name, config)
        self._section = config_section_name

    def build(self, protocol: int = ssl.PROTOCOL_TLS_SERVER) -> ssl.SSLContext:
        """Return the context.

        Args:
            protocol: ``ssl.PROTOCOL_TLS_SERVER``, or ``ssl.PROTOCOL_TLS_CLIENT`` to call with.

        Raises:
            ConfigurationError: a file is missing or can't be read, or a setting is unknown.
        """
        context = ssl.SSLContext(protocol)
        # Some distributions' Python, Debian's among them, allows older versions by default.
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        settings = self.Config
        # Without a password OpenSSL would ask for one on the terminal.
        password = settings["key_password"]
        applied: dict[str, Callable[[str], object]] = {
            "cert": lambda file: context.load_cert_chain(file, settings["key"] or None, lambda: password),
            "cafile": lambda file: context.load_verify_locations(cafile=file),
            "capath": lambda folder: context.load_verify_locations(capath=folder),
            "cadata": lambda data: context.load_verify_locations(cadata=data),
            "ciphers": context.set_ciphers,
            "dh_params": context.load_dh_params,
            "verify_mode": lambda name: _set_verify_mode(context, name),
        }
        for option, apply in applied.items():
            value = settings[option].strip()
            try:
                if value:
                    apply(value)
            except (OSError, ValueError) as error:
                # The option is never the password; the values of the others are public.
                shown, *_ = value.splitlines()
                raise ConfigurationError(
                    f"[{self._section}] {option}={shown} can't be used: {error}"
                ) from error
        return context


def _set_verify_mode(context: ssl.SSLContext, name: str) -> None:
    modes = ssl.VerifyMode.__members__
    mode = modes.get(name.upper())
    if mode is None:
        raise ValueError(f"write one of {', '.join(modes)}")
    context.check_hostname = context.check_hostname and mode is not ssl.CERT_NONE
    context.verify_mode = mode
