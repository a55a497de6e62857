"""What each instance may claim in its tokens: decided by the service that verifies them."""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from itertools import chain

from peerage.auth.principal import SUPERUSER
from peerage.auth.refusals import Reason
from peerage.errors import ConfigurationError, TokenRefusedError
from peerage.records.names import fold_value

#: ``{instance id: {tenant or "*": [resource]}}``; instance ids and resources may be patterns.
Allow = Mapping[str, Mapping[str, Collection[str]]]


class Allowance:
    """Limits the resources that a token may claim, by the instance that has signed it.

    ``{"gateway-*": {"*": ["orders:*"]}}``: the instances ``gateway-1``, ``gateway-2`` and so on may claim
    every resource of orders, globally and for each tenant; under the name of a tenant, for that tenant alone.
    Patterns are those of :mod:`fnmatch`. None of them matches ``authz:superuser``, which must be listed
    literally. What several patterns allow to one instance adds up.

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
            allowed = [rule[key] for rule in rules for key in (tenant, "*") if key in rule]
            patterns = [*chain.from_iterable(allowed)]
            excess = next((each for each in claimed if not any(_allows(one, each) for one in patterns)), None)
            if excess is not None or not allowed:
                what = ascii(excess) if allowed else "anything"
                claim = f"The instance {instance_id!a} claims {what} for {tenant!a}"
                raise TokenRefusedError(Reason.EXCESSIVE, f"{claim}, which 'allow' of this verifier lacks.")


def _strings(values: Collection[str]) -> tuple[str, ...]:
    strings = tuple(values)
    if isinstance(values, str) or not all(isinstance(each, str) for each in strings):
        raise TypeError("not a collection of strings")
    return strings


def _allows(pattern: str, resource: str) -> bool:
    return pattern == resource or (resource != SUPERUSER and fnmatchcase(resource, pattern))
