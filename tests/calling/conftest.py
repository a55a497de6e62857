"""A directory, a balancer and a clock, without an event loop."""

import json
from random import Random

import pytest
from tests.support import Clock

from peerage.balancing import Balancer, Outcome
from peerage.calling import Addresses, Attempt, Call, CallContext, GiveUp, Lookups
from peerage.directory import Directory
from peerage.registry import Record

HOST_KEY = "this-host"


class World:
    """What calls are decided by, and short words for driving one."""

    def __init__(self):
        self.clock = Clock()
        self.directory = Directory(host_key=HOST_KEY)
        self.balancer = Balancer(Random(1), self.clock)
        self.addresses = Addresses(self.clock)
        self.context = CallContext(self.directory, self.balancer, self.addresses, self.clock)
        self._made = 0

    def advertise(self, *, port=80, host="here", near=True, web=None, instance_id=None, ids=None, **own):
        """Put an instance of ``orders`` into the directory; *near*: on this host, so without look-ups."""
        self._made += 1
        name = f"App.{self._made:010}"
        record = {
            "host": host,
            "instance_id": instance_id or f"orders-{self._made}",
            "service_id": "orders",
            "web": [["0.0.0.0", port]] if web is None else web,
            "discovery": ids or {},
            "peerage": {**({"host_key": HOST_KEY} if near else {}), **own},
        }
        self.directory.put(Record(name, json.dumps(record).encode(), self._made))
        return name

    def call(self, method="GET", *, scheme="http", repeatable=None, value="orders"):
        repeatable = method == "GET" if repeatable is None else repeatable
        return Call(self.context, ("service_id", value), scheme, method, repeatable=repeatable)

    def attempt(self, call):
        """The next step, which must be an attempt."""
        step = call.next()
        assert isinstance(step, Attempt), step
        return step

    def fail(self, call, outcome=Outcome.CONNECT_FAILED, **kwargs):
        """Let the next step, which must be an attempt, fail; return the name of the instance."""
        attempt = self.attempt(call)
        call.done(attempt, outcome, outcome.name.lower(), **kwargs)
        return attempt.instance.name

    def attempt_and_fail(self, call):
        """Let the next step fail to connect; return the address that was tried."""
        attempt = self.attempt(call)
        call.done(attempt, Outcome.CONNECT_FAILED, "refused")
        return attempt.ip

    def answer(self, call):
        """Let the next step, which must be an attempt, be answered to its end; return the instance's name."""
        attempt = self.attempt(call)
        call.done(attempt, Outcome.ANSWERED)
        call.close()
        attempt.pick.done(Outcome.ANSWERED, 0.001)
        return attempt.instance.name

    def lookups(self, call):
        """The next step, which must be look-ups; they begin."""
        step = call.next()
        assert isinstance(step, Lookups), step
        for host in step.hosts:
            if self.addresses.entry(host).started is None:
                self.addresses.started(host)
        return step

    def end(self, call):
        """The next step, which must be the end; nothing is counted any more."""
        step = call.next()
        assert isinstance(step, GiveUp), step
        call.close()
        assert self.balancer.outstanding == {}
        return step


@pytest.fixture
def world():
    return World()
