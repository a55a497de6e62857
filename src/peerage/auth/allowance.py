"""What each instance may claim in its tokens: decided by the service that verifies them."""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Final

from peerage.auth.principal import SUPERUSER
from peerage.auth.refusals import Reason
from peerage.errors import ConfigurationError, TokenRefusedError
from peerage.records.names import fold_value

__all__ = ["Allow", "Allowance"]

#: ``{instance id: {tenant or "*": [resource]}}``; instance ids and resources may be patterns.
Allow = Mapping[str, Mapping[str, Collection[str]]]

_EVERYWHERE: Final = "*"


class Allowance:
    """Limits the resources that a token may claim, by the instance that has signed it.

    ``{"gateway-*": {"*": ["orders:*"]}}``: the instances ``gateway-1``, ``gateway-2`` and so on may claim
    every resource of orders, globally and for each tenant; under the name of a tenant, for that tenant alone.
    Patterns are those of :mod:`fnmatch`. None of them matches ``authz:superuser``, which must be listed
    literally.

    Args:
        allow: see above. What several patterns allow to one instance adds up.

    Raises:
        ConfigurationError: *allow* has another shape.
    """

    def __init__(self, allow: Allow) -> None:
        try:
            self._rules = [
                (fold_value(instance), {tenant: _strings(resources) for tenant, resources in tenants.items()})
                for instance, tenants in allow.items()
            ]
        except (AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"allow={allow!r} can't be used: write {{'gateway-*': {{'*': ['orders:*']}}}}, resources by "
                "tenant (or '*') by instance id."
            ) from error

    def check(self, instance_id: str, resources: Mapping[str, Collection[str]]) -> None:
        """Raise TokenRefusedError if the issuer, whose folded id is given, may not claim *resources*.

        The message names the first tenant or resource that isn't allowed.
        """
        rules = [rule for pattern, rule in self._rules if fnmatchcase(instance_id, pattern)]
        for tenant, claimed in resources.items():
            allowed = [rule[key] for rule in rules for key in (tenant, _EVERYWHERE) if key in rule]
            if not allowed:
                raise _excessive(instance_id, f"anything for {tenant!a}")
            for resource in claimed:
                if not any(_allows(pattern, resource) for patterns in allowed for pattern in patterns):
                    raise _excessive(instance_id, f"{resource!a} for {tenant!a}")


def _strings(values: Collection[str]) -> tuple[str, ...]:
    strings = tuple(values)
    if isinstance(values, str) or not all(isinstance(each, str) for each in strings):
        raise TypeError("not a collection of strings")
    return strings


def _allows(pattern: str, resource: str) -> bool:
    return pattern == resource or (resource != SUPERUSER and fnmatchcase(resource, pattern))


def _excessive(instance_id: str, what: str) -> TokenRefusedError:
    return TokenRefusedError(
        Reason.EXCESSIVE, f"The instance {instance_id!a} claims {what}, which 'allow' of this verifier lacks."
    )
