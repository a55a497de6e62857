"""The names of ``peerage.asab`` as type checkers see them, by the import line of its programs."""

from typing import assert_type

import peerage.asab as asab


class Program(asab.Application):
    """A program that reaches everything through the module ``asab``."""

    def __init__(self) -> None:
        super().__init__(modules=[asab.web.Module, asab.zookeeper.Module])
        assert_type(asab.Config.get("general", "var_dir"), str)
        service: asab.web.WebService = self.get_service("asab.WebService")
        container = asab.web.WebContainer(service, "web")
        container.foo()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        asab.Aplication()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        asab.web.Contaner()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        asab.zookeeper.Modul()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        api = asab.api.ApiService(self)
        assert_type(api.attention_required({"what": "disk"}), str)
        zookeeper = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"))
        discovery = asab.api.discovery.DiscoveryService(self, zookeeper)
        discovery.lokate()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        asab.web.auth.AuthService(self).install(container)
        asab.web.auth.reqire("a")  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        asab.web.rest.json_respond()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
