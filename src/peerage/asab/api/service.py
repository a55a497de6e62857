"""Advertises the application: ``asab.ApiService``."""

import asyncio
import logging
import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from peerage.asab.abc import Service
from peerage.asab.api.discovery import DiscoveryService
from peerage.asab.api.framework import framework_of
from peerage.asab.parts import Phase
from peerage.errors import RecordError, RegistryDeniedError
from peerage.records.advert import Advert
from peerage.records.build import build_record, check_id, check_key
from peerage.records.identity import find_manifest, read_identity
from peerage.records.text import shorten
from peerage.registration import LAME_DUCK, WITHDRAW_TIMEOUT, Registration
from peerage.registry import check_size
from peerage.web.running import bound_web

if TYPE_CHECKING:
    from configparser import RawConfigParser

    from peerage.asab.application import Application
    from peerage.asab.web import WebContainer
    from peerage.asab.zookeeper import ZooKeeperContainer

log = logging.getLogger("peerage.asab.api")

_T = TypeVar("_T")

_CHANGELOGS: Final = ("/app/CHANGELOG.md", "/CHANGELOG.md", "CHANGELOG.md")


class ApiService(Service):
    """Advertises the application in the registry, and adds the endpoints ``/asab/v1/…``.

    ::

        api = asab.api.ApiService(self)
        api.initialize_web(container)
        api.initialize_zookeeper(zookeeper_container)

    It advertises as soon as the web container listens; without a web container immediately, as a service that
    can't be called. At the end it publishes that no new requests are wanted, then withdraws, and after that
    the web container stops.
    """

    peerage_phase: ClassVar[Phase] = Phase.API

    def __init__(self, app: "Application", service_name: str = "asab.ApiService") -> None:
        super().__init__(app, service_name)
        self.WebContainer: WebContainer | None = None
        self.ZkContainer: ZooKeeperContainer | None = None
        self.DiscoveryService: DiscoveryService | None = None
        self.AttentionRequired: dict[str, dict[str, Any]] = {}
        """The things that need attention, by their ids."""
        self.Discovery: dict[str, list[Any]] = {}
        """The custom ids by which the application is found."""
        self._framework = framework_of(app)
        self.Manifest = _find_manifest(self._framework.config)
        """The content of MANIFEST.json, None if there is none."""
        self.ChangeLog = _find_changelog(self._framework.config)
        """The path of CHANGELOG.md, None if there is none."""
        self._without_manifest = False
        self._reported: set[str] = set()
        self._registration: Registration | None = None
        self._running = self._listening = False
        self._leaving: asyncio.Future[None] | None = None
        app.PubSub.subscribe("WebContainer.started!", self._on_web_started)

    # Setup

    def initialize_web(self, webcontainer: "WebContainer | None" = None) -> None:
        """Advertise where *webcontainer* listens, and add the endpoints to it.

        Args:
            webcontainer: by default the container of the section ``[web]``, made if there is none.

        Raises:
            RuntimeError: there is no such section or no web service, the ApiService has a web container
                already, or the container has started.
        """
        if self.WebContainer is not None:
            raise RuntimeError("This ApiService has a web container already: call initialize_web() once.")
        websvc = self.App.get_service("asab.WebService")
        if websvc is None:
            raise RuntimeError(
                "initialize_web() needs the web service: call app.add_module(asab.web.Module) first."
            )
        container: WebContainer = websvc.WebContainer if webcontainer is None else webcontainer
        self._framework.serve(self, container)
        self.WebContainer = container
        self._advertise()

    def initialize_zookeeper(self, zoocontainer: "ZooKeeperContainer | None" = None) -> None:
        """Advertise over the session of *zoocontainer*, and make the service ``asab.DiscoveryService``.

        Args:
            zoocontainer: by default a new one of the section ``[zookeeper]``.

        Raises:
            RuntimeError: there is no ZooKeeper service, or the ApiService has a container already.
        """
        if self.ZkContainer is not None:
            raise RuntimeError(
                "This ApiService has a ZooKeeper container already: call initialize_zookeeper() once."
            )
        if zoocontainer is None:
            service = self.App.get_service("asab.ZooKeeperService")
            if service is None:
                raise RuntimeError(
                    "initialize_zookeeper() needs a container, or the ZooKeeper service to make one: call "
                    "app.add_module(asab.zookeeper.Module) first."
                )
            zoocontainer = self._framework.make_zookeeper_container(service)
        container: ZooKeeperContainer = zoocontainer
        self.DiscoveryService = DiscoveryService(self.App, container)
        self.ZkContainer = container
        self._advertise()

    # Content of the record

    def update_discovery(self, discovery_dict: Mapping[str, list[Any]]) -> None:
        """Advertise other custom ids, ``{"shard": [1, 2]}``, without a gap.

        Values that can't be ids are left out, with one warning for each key; the original advertises all.

        Args:
            discovery_dict: the ids of each key replace the previous ids of that key; other keys stay.

        Raises:
            TypeError: it isn't a dictionary, a key isn't a text, or its ids aren't a list.
            RegistryDeniedError: the record would be too large; nothing changes.
        """
        given: Any = discovery_dict
        if not isinstance(given, Mapping) or not all(
            isinstance(key, str) and isinstance(values, list) for key, values in given.items()
        ):
            raise TypeError(
                f"update_discovery({discovery_dict!r}): write texts as keys and lists of ids, such as "
                '{"shard": [1, 2]}.'
            )
        fit, refused = _sort_out(discovery_dict)
        self._change({**self.Discovery, **fit}, self.AttentionRequired)
        news = [reason for key, reason in refused.items() if key not in self._reported]
        if news:
            # A program may call this at each tick.
            self._reported.update(refused)
            log.warning("update_discovery() leaves out what can't be advertised: %s", " ".join(news))

    def attention_required(self, att: dict[str, Any], att_id: str | None = None) -> str:
        """Show in the record that something needs attention.

        Args:
            att: what; it gets the time as ``_c``, unless it has one.
            att_id: replaces what was shown under this id; by default a new one.

        Returns:
            The id, for :meth:`remove_attention`.

        Raises:
            TypeError: *att* is no dictionary.
            RecordError: *att* isn't JSON; everything stays as it was.
            RegistryDeniedError: the record would be too large; everything stays as it was.
        """
        if not isinstance(att, dict):
            raise TypeError(f'attention_required({att!r}): write a dictionary, such as {{"message": "…"}}.')
        if att_id is None:
            att_id = uuid.uuid4().hex
        att.setdefault("_c", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        self._change(self.Discovery, {**self.AttentionRequired, att_id: att})
        return att_id

    def remove_attention(self, att_id: str) -> None:
        """Stop showing it in the record; an unknown id isn't an error."""
        left = {key: att for key, att in self.AttentionRequired.items() if key != att_id}
        self._change(self.Discovery, left)

    # As a service

    async def initialize(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each service
        """Begin to advertise, if the containers are ready."""
        self._running = True
        self._advertise()

    async def drain(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each part
        """Publish that no new requests are wanted, wait, and withdraw."""
        if self._leaving is None:
            self._leaving = asyncio.ensure_future(self._leave())
        await asyncio.shield(self._leaving)

    async def finalize(self, app: "Application") -> None:
        """Wait until the record is withdrawn."""
        await self.drain(app)

    # Internal

    async def _leave(self) -> None:
        registration = self._registration
        if registration is None:
            return
        if self.WebContainer is None or registration.name is None:
            # It has no callers.
            leaving, planned = registration.withdraw(), 0.0
        else:
            leaving, planned = registration.drain(LAME_DUCK), 2 * LAME_DUCK
        # A registry that doesn't answer isn't waited for; the record ends with the session.
        with suppress(TimeoutError):
            async with asyncio.timeout(planned + WITHDRAW_TIMEOUT):
                await leaving

    def _on_web_started(self, _message_type: str, container: "WebContainer") -> None:
        if container is self.WebContainer:
            self._listening = True
            self._advertise()

    def _change(self, discovery: dict[str, list[Any]], attention: dict[str, dict[str, Any]]) -> None:
        """Advertise a change; if that fails, everything stays as it was."""
        before = self.Discovery, self.AttentionRequired
        self.Discovery, self.AttentionRequired = discovery, attention
        try:
            if self._registration is None:
                # The caller gets an error now, not when it is advertised.
                self._fit(lambda fields: check_size(build_record(Advert(**fields))))
            self._advertise()
        except Exception:
            self.Discovery, self.AttentionRequired = before
            raise

    def _advertise(self) -> None:
        """Update the record, or begin to advertise if the containers are ready."""
        container, web = self.ZkContainer, self.WebContainer
        if container is None or not self._running or self._leaving is not None:
            return
        registration = self._registration
        if registration is not None:
            self._fit(lambda fields: registration.update(**fields))
        elif web is None or self._listening or web.Addresses is not None:  # or _on_web_started()
            discovery = self._framework.open_discovery(container)
            self._registration = self._fit(lambda fields: discovery.register(**fields))

    def _fit(self, use: Callable[[dict[str, Any]], _T]) -> _T:
        """Call *use* with the fields of the advert, without the manifest if the record would be too large."""
        try:
            used = use(self._fields(self.Manifest or {}))
        except RegistryDeniedError as error:
            used = use(self._fields({}))
            if not self._without_manifest:
                log.error("Advertised without the content of MANIFEST.json: %s", error)  # noqa: TRY400 - the message is enough
            self._without_manifest = True
        return used

    def _fields(self, manifest: dict[str, Any]) -> dict[str, Any]:
        web = self.WebContainer
        # Read each time: a program may set its environment while it starts.
        identity = read_identity(appclass=type(self.App).__name__, manifest=manifest)
        fields = {
            "identity": replace(identity, host=self.App.HostName),
            "ids": self.Discovery,
            "extra": {"attention_required": self.AttentionRequired} if self.AttentionRequired else {},
        }
        return fields if web is None else {**fields, "web": bound_web(web.WebAppRunner)}


def _find_manifest(config: "RawConfigParser") -> dict[str, Any] | None:
    if configured := config.get("general", "manifest", fallback=""):
        return find_manifest(configured, "[general] manifest")
    return find_manifest(os.environ.get("PEERAGE_MANIFEST"))


def _find_changelog(config: "RawConfigParser") -> str | None:
    configured = config.get("general", "changelog", fallback="")
    if configured and not Path(configured).is_file():
        log.error("[general] changelog=%s: there is no such file", configured)
    return next((name for name in (configured, *_CHANGELOGS) if name and Path(name).is_file()), None)


def _sort_out(given: Mapping[str, list[Any]]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return the ids of *given* that can be advertised, and for each key with other ids the reason.

    None as an id is left out without a reason.
    """
    fit: dict[str, list[Any]] = {}
    refused: dict[str, str] = {}
    for key, values in given.items():
        try:
            check_key(key)
        except RecordError as error:
            refused[key] = str(error)
            continue
        fit[key] = []
        rest = []
        for value in values:
            try:
                if value is not None:
                    check_id(key, value)
                    fit[key].append(value)
            except RecordError as error:
                rest.append(value)
                refused.setdefault(key, str(error))
        if rest[1:]:
            refused[key] += f" The same is true of {shorten(rest[1:])}."
    return fit, refused
