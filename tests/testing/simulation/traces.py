"""Random requests of several sessions, carried out by the model of ZooKeeper or by a real server.

Both sides record what each session hears, in order: answers and events. Times aren't compared; sessions are
called by their place, and transactions by their distance from the first of the trace. A session that ends
removes its nodes in any order, so the events of that are sorted.
"""

from typing import Any, NamedTuple

from kazoo.protocol.serialization import (
    CheckVersion,
    Create,
    Delete,
    Exists,
    GetACL,
    GetChildren,
    GetData,
    SetACL,
    SetData,
    Sync,
    Transaction,
)
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, Id, make_digest_acl
from tests.testing.simulation.wire import WireClient

from peerage.backends.zookeeper.requests import AddWatch, Entry, MultiRead, rehearsal
from peerage.testing.simulation.zookeeper import model

SESSIONS = 3
_CREDENTIALS = "user:secret"
_LENGTH = 40


#: Kinds of requests, and how often each is drawn.
_KINDS = {
    "create": 12,
    "delete": 5,
    "set": 6,
    "set acl": 2,
    "multiple": 4,
    "rehearsal": 1,
    "exists": 5,
    "get": 4,
    "children": 4,
    "get acl": 1,
    "sync": 1,
    "watch": 2,
    "read": 3,
}

#: Access lists, and how often each is drawn.
_ACLS = (
    (OPEN_ACL_UNSAFE, 30),
    (CREATOR_ALL_ACL, 3),
    (READ_ACL_UNSAFE, 2),
    ([make_digest_acl("other", "secret", all=True)], 1),
    ([], 1),
    (OPEN_ACL_UNSAFE * 2, 1),
    ([ACL(5, Id("world", "anyone")), *CREATOR_ALL_ACL], 2),
    ([ACL(31, Id("world", "us"))], 1),
)

#: Paths that no node can have.
_IMPOSSIBLE = ("{}/", "{}//a", "{}/.", "{}/a/../b", "a", "{}/\x01", "{}/a/")


class Step(NamedTuple):
    session: int
    kind: str
    request: Any = None


def trace(chance, parent):
    """Return random steps in *parent*, a path that no other trace uses."""
    steps = [Step(place, "open") for place in range(SESSIONS)]
    steps += [Step(0, "authenticate")] * (chance.random() < 0.5)
    root = f"{parent}/r"
    for path in (parent, root, f"{root}/a", f"{root}/b")[: chance.choice((2, 3, 4, 4))]:
        steps.append(Step(0, "request", Create(path, b"", OPEN_ACL_UNSAFE, 0)))
    watched = chance.choice((root, root, f"{root}/a"))
    steps += [Step(place, "request", AddWatch(watched)) for place in range(SESSIONS) if chance.random() < 0.5]
    steps += [_step(chance, root) for _ in range(chance.randrange(_LENGTH))]
    return steps + [Step(place, "end") for place in range(SESSIONS)]


def _step(chance, root):
    session, kind = chance.randrange(SESSIONS), chance.random()
    if kind < 0.03:
        return Step(session, "reconnect")
    if kind < 0.05:
        return Step(session, "reopen")
    if kind < 0.07:
        return Step(session, "authenticate")
    return Step(session, "request", _request(chance, root))


def _request(chance, root):
    path, watch = _path(chance, root), chance.random() < 0.6
    kind = chance.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
    match kind:
        case "exists" | "get" | "children":
            return {"exists": Exists, "get": GetData, "children": GetChildren}[kind](path, watch)
        case "get acl" | "sync" | "watch" | "rehearsal":
            return {"get acl": GetACL, "sync": Sync, "watch": AddWatch, "rehearsal": rehearsal}[kind](path)
        case "read":
            return MultiRead(tuple(_path(chance, root) for _ in range(chance.randrange(4))))
        case "multiple":
            return Transaction(tuple(_part(chance, root) for _ in range(chance.randrange(1, 4))))
    return _change(chance, kind, path)


def _part(chance, root):
    kind = chance.choice(("create", "delete", "set", "check"))
    return _change(chance, kind, _path(chance, root))


def _change(chance, kind, path):
    match kind:
        case "create":
            return Create(path, _data(chance), _acl(chance), chance.choice((0, 0, 1, 1, 2, 3, 3)))
        case "delete":
            # These change with every trace, so all that is compared of them is that they stay.
            return Delete(chance.choice(("/", "/zookeeper", *[path] * 60)), _version(chance))
        case "set":
            return SetData(path, _data(chance), _version(chance))
        case "set acl":
            return SetACL(path, _acl(chance), _version(chance))
    return CheckVersion(path, _version(chance))


def _path(chance, root):
    """Return one of few paths: they meet, and numbered nodes are found again."""
    name = chance.choice(("a", "b", "a", "b", "c"))
    if chance.random() < 0.2:
        name += f"{chance.randrange(4):010d}"
    kind = chance.random()
    if kind < 0.15:
        return root
    if kind < 0.6:
        return f"{root}/{name}"
    if kind < 0.95:
        return f"{root}/{chance.choice('ab')}/{name}"
    if kind < 0.97:
        return f"{root}/é"
    return chance.choice(_IMPOSSIBLE).format(root)


def _data(chance):
    return bytes(chance.randrange(3))


def _version(chance):
    return chance.choice((-1, -1, 0, 0, 1, 2, -2))


def _acl(chance):
    lists, weights = zip(*_ACLS, strict=True)
    return chance.choices(lists, weights)[0]


# The two sides


class _Side:
    """What the sessions heard; *base* is the number of the last transaction before the trace."""

    def __init__(self, base):
        self.base = base
        self.heard = [[] for _ in range(SESSIONS)]
        self.ids = [0] * SESSIONS

    def run(self, steps):
        for step in steps:
            self.take(step)
        return self.heard

    def take(self, step):
        place = step.session
        match step.kind:
            case "open":
                self.open(place)
            case "authenticate":
                self.authenticate(place)
            case "request":
                zxid, error, value = self.request(place, step.request)
                self.heard[place].append((zxid - self.base, error, self._plain(value)))
            case "reconnect":
                self.reconnect(place)
            case "reopen" | "end":
                self._settle()
                before = [len(heard) for heard in self.heard]
                self.heard[place].append(self.end(place) - self.base)
                self._settle()
                for heard, start in zip(self.heard, before, strict=True):
                    heard[start:-1] = sorted(heard[start:-1])
                if step.kind == "reopen":
                    self.open(place)

    def _settle(self):
        """Let each session hear everything up to now."""
        for place, heard in enumerate(self.heard):
            if self.ids[place]:
                heard.append(self.ping(place) - self.base)

    def _plain(self, value):
        """Return the answer without times, and without numbers that differ between the sides."""
        if isinstance(value, Entry):
            owner = self._owner(value.owner)
            return value.data, self._since(value.czxid), self._since(value.mzxid), owner
        if hasattr(value, "pzxid"):
            return (
                *map(self._since, (value.czxid, value.mzxid, value.pzxid)),
                *(value.version, value.cversion, value.aversion, self._owner(value.ephemeralOwner)),
                *(value.dataLength, value.numChildren),
            )
        if isinstance(value, Exception):
            return "refused", value.code
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return sorted(value)
        if isinstance(value, list) or type(value) is tuple:
            return [self._plain(each) for each in value]
        return tuple(value) if isinstance(value, tuple) else value

    def _since(self, zxid):
        return max(0, zxid - self.base)

    def _owner(self, session):
        return self.ids.index(session) if session else None


class ModelSide(_Side):
    def __init__(self):
        super().__init__(base=0)
        self._server = model.Server(self._hear)
        self._clients = [None] * SESSIONS
        self._begun = 0

    def _hear(self, client, kind, path):
        self.heard[self._clients.index(client)].append((kind, path))

    def open(self, place):
        self._begun += 1
        self.ids[place] = self._begun
        self._server.apply(self._server.prepare_open(self._begun, 0))
        self._clients[place] = model.Client(self._begun)

    def authenticate(self, place):
        self._clients[place].identities = (model.digest_identity(_CREDENTIALS),)

    def reconnect(self, place):
        self._server.watches.forget(self._clients[place])
        self._clients[place] = model.Client(self.ids[place])

    def request(self, place, request):
        client = self._clients[place]
        if model.writes(request):
            return self._server.apply(self._server.prepare(client, request, 0))
        return self._server.read(client, request)

    def ping(self, _):
        return self._server.zxid

    def end(self, place):
        session, self.ids[place] = self.ids[place], 0
        zxid = self._server.apply(self._server.prepare_close(session, 0)).zxid
        self._server.watches.forget(self._clients[place])
        return zxid


class RealSide(_Side):
    def __init__(self, address):
        self._address = address
        self._clients = [None] * SESSIONS
        with_base = WireClient(address, None)
        super().__init__(with_base.end())

    def _connect(self, place, *session):
        def hear(kind, path):
            self.heard[place].append((kind, path))

        self._clients[place] = client = WireClient(self._address, hear, *session)
        self.ids[place] = client.session

    def open(self, place):
        self._connect(place)

    def authenticate(self, place):
        self._clients[place].authenticate(_CREDENTIALS)

    def reconnect(self, place):
        client = self._clients[place]
        client.ping()
        client.close()
        self._connect(place, client.session, client.password)
        assert self.ids[place] == client.session

    def request(self, place, request):
        return self._clients[place].request(request)

    def ping(self, place):
        return self._clients[place].ping()

    def end(self, place):
        self.ids[place] = 0
        return self._clients[place].end()

    def close(self):
        for client in self._clients:
            if client is not None:
                client.close()
