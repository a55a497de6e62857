"""Records and watchers over a simulated ensemble to which random faults happen, and what must hold then."""

import asyncio
from random import Random

from peerage.testing import View
from peerage.testing.harness import closing
from peerage.testing.simulation import World
from peerage.testing.simulation.zookeeper import Ensemble

SESSION = 4.0
#: Seconds after the last fault in which everything must settle: an election may take more than one, and after
#: it the servers wait for the whole time-out of each session.
SETTLE = SESSION + 2.0
FAULTS = 8


class Owner:
    """A process that keeps a record; it changes that from time to time."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.wanted = None
        self.number = 0
        self.calm = False
        """Whether it leaves its record as it is."""

    def start(self, open_registry):
        self.number += 1
        self.wanted = f"{self.name} {self.number}".encode()
        number = self.number

        async def program(host):
            async with closing(open_registry(host)) as (registry,):
                advertisement = registry.advertise(self.name, self.wanted)
                while True:
                    await asyncio.sleep(random.uniform(1, 8))
                    if self.number == number and not self.calm and random.random() < 0.5:
                        self.wanted += b"+"
                        advertisement.update(self.wanted)

        random = Random(f"{self.name} {number}")
        self.host.start(program)


class Watcher:
    """A process that watches."""

    def __init__(self, host):
        self.host = host
        self.view = None

    def start(self, open_registry):
        async def program(host):
            async with closing(open_registry(host)) as (registry,), View(registry) as self.view:
                await asyncio.Event().wait()

        self.view = None
        self.host.start(program)


class Schedule:
    def __init__(self, seed, owners=3, watchers=2):
        self.world = World(seed)
        self.random = Random(f"faults {seed}")
        self.ensemble = Ensemble(self.world, session_timeout=SESSION)
        self.owners = [Owner(self.world.host(f"owner-{i}"), f"Service{i}") for i in range(owners)]
        self.watchers = [Watcher(self.world.host(f"watcher-{i}")) for i in range(watchers)]
        self.happened = []
        self.turns = 0

    def run(self):
        self.world.run(self._happens())
        return self

    async def _happens(self):
        for each in (*self.owners, *self.watchers):
            each.start(self.ensemble.open_registry)
        await asyncio.sleep(self.random.uniform(0, 5))
        for _ in range(self.random.randrange(1, FAULTS)):
            self._fault()
            await asyncio.sleep(self.random.choice((0.1, 1, 3, 10)) * self.random.random())
        self._heal()
        for each in self.owners:
            each.calm = True
        await asyncio.sleep(SETTLE)
        self.turns = self.world.loop.turns
        self._check()

    def _note(self, text):
        self.happened.append(f"{self.world.loop.time():.3f} {text}")

    def _fault(self):
        host = self.random.choice([*self.owners, *self.watchers]).host
        member = self.random.choice(self.ensemble.members)
        faults = (*self._of_processes(host, member), *self._of_servers(member), ("start", self._start_dead))
        kind, begin = self.random.choice(faults)
        self._note(f"{kind} {host.name} {member.host.name}")
        begin()

    def _of_processes(self, host, member):
        def cut():
            self._cut(host, member.host)

        def reset():
            for endpoint in tuple(host.process.endpoints):
                endpoint.transport.abort()

        return (
            ("crash", host.crash),
            ("stop", host.stop),
            ("resume", host.resume),
            ("expire", lambda: self.ensemble.expire(host)),
            ("cut", cut),
            ("cut one way", lambda: self.world.network.cut(host.ip, member.host.ip)),
            ("reset", reset),
        )

    def _of_servers(self, member):
        random = self.random
        return (
            ("server crash", member.host.crash),
            ("server stop", member.host.stop),
            ("power off", member.host.power_off),
            ("all crash", lambda: [each.host.crash() for each in self.ensemble.members]),
            ("leader crash", lambda: self.ensemble.leader and self.ensemble.leader.host.crash()),
            ("isolate", lambda: [self._cut(member.host, each.host) for each in self.ensemble.members]),
            ("lag", lambda: self._set_all(lag=(0.0, random.uniform(0, 3)))),
            ("lost replies", lambda: self._set_all(lost_replies=random.random())),
            ("slow disk", lambda: self._set_all(disk=random.uniform(0, 2))),
            ("throttle", lambda: self._set_all(throttled=random.random())),
        )

    def _set_all(self, **fields):
        for member in self.ensemble.members:
            for name, value in fields.items():
                setattr(member, name, value)

    def _cut(self, one, other):
        self.world.network.cut(one.ip, other.ip)
        self.world.network.cut(other.ip, one.ip)

    def _start_dead(self):
        for each in self.ensemble.members:
            each.host.power_on()
            if not each.host.alive:
                self.ensemble.start(each)
        for each in (*self.owners, *self.watchers):
            if not each.host.alive:
                each.start(self.ensemble.open_registry)

    def _heal(self):
        self._note("heal")
        self.world.network.cuts.clear()
        self._set_all(lost_replies=0.0, throttled=0.0, disk=0.0, lag=(0.0, 0.005))
        for each in (*self.ensemble.members, *self.owners, *self.watchers):
            each.host.resume()
        self._start_dead()

    def _check(self):
        assert self.world.failures == []
        for watcher in self.watchers:
            known = sorted(record.data for record in watcher.view.records.values())
            wanted = sorted(each.wanted for each in self.owners)
            assert known == wanted, f"{watcher.host.name} knows {known}, not {wanted}; {watcher.view.stale=}"
            assert watcher.view.stale is None
