"""A web container that listens with TLS and without: each port has its own scheme."""

import pytest
import trustme
from tests.asab.api.programs import SERVICE, on
from tests.asab.both import ours
from tests.asab.inside.programs import guest, named

from peerage import Discovery
from peerage.testing import eventually


@pytest.fixture
def certificates(tmp_path):
    """A certificate of the service with its key in a file, and its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("x.service-id.asab")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    return tmp_path


LINES = {"plain first": "0.0.0.0 0\n0.0.0.0 0 ssl", "TLS first": "0.0.0.0 0 ssl\n0.0.0.0 0"}


@pytest.mark.parametrize("listen", LINES.values(), ids=LINES)
def test_each_port_has_its_scheme(zookeeper, certificates, listen):
    """In the record, and in the URLs of locate()."""
    outcome = ours(
        SERVICE
        + f"""
asab.Config.set("web", "listen", {listen!r})
asab.Config.set("web", "cert", {str(certificates / "both.pem")!r})
async def program(app):
    record = await record_of(app)
    bound = {{port: scheme for _, port, scheme in app.Api._fields({{}})["web"]}}
    say(record["peerage"]["schemes"] == {{str(port): scheme for port, scheme in bound.items()}})
    urls = await eventually(lambda: app.Discovery.locate(service_id="x"))
    say(urls == {{f"{{scheme}}://127.0.0.1:{{port}}" for port, scheme in bound.items()}})
run(program, Service())
""",
        SERVICE_ID="x",
        ASAB_HOSTNAME="127.0.0.1",
        **on(zookeeper),
    )
    assert outcome.lines == ["True", "True"], outcome.log


@pytest.mark.parametrize("listen", LINES.values(), ids=LINES)
async def test_each_port_has_its_scheme_inside_the_real_asab(inside, zookeeper, certificates, listen):
    """The addresses come from aiohttp's sites, not from the configuration."""
    program = f"""
asab.Config["web"]["listen"] = {listen!r}
asab.Config["web"]["cert"] = {str(certificates / "both.pem")!r}
class Mixed(Guest):
    async def main(self):
        # The original shows the addresses of one line while it binds the next.
        while len(self.Web.Addresses or ()) < 2:
            await asyncio.sleep(0.005)
        say(min(port for _, port, scheme in self.Api._fields({{}})["web"] if scheme == "http"))
Mixed().run()
"""
    environ = on(zookeeper)
    async with (
        guest(inside, named(environ, "x-1"), program) as one,
        Discovery(f"zookeeper://{zookeeper.address}{environ['TEST_PATH']}") as discovery,
    ):

        async def described():
            return next(iter(await one.get("/discovery")), {})

        record = await eventually(described, wanted=lambda record: len(record.get("web", ())) == 2)
        schemes = record["peerage"]["schemes"]
        assert sorted(schemes.values()) == ["http", "https"]
        assert schemes[str(one.session._base_url.port)] == "http"
        assert await eventually(
            lambda: discovery.locate(service_id="x"), wanted=lambda urls: len(urls) == 2
        ) == {f"{scheme}://127.0.0.1:{port}" for port, scheme in schemes.items()}


CALLS = """
import ssl
asab.Config.set("web", "listen", os.environ["TEST_LISTEN"])
asab.Config.set("web", "cert", os.environ["TEST_CERT"])
context = ssl.create_default_context(cafile=os.environ["TEST_CA"])
async def program(app):
    await record_of(app)
    await eventually(lambda: app.Discovery.locate(service_id="x"))
    async with app.Discovery.session() as session:
        for scheme in ("http", "https"):
            async with session.get(f"{scheme}://x.service-id.asab/asab/v1/manifest", ssl=context) as response:
                say(scheme, response.status)
run(program, Service())
"""


@pytest.mark.parametrize("listen", LINES.values(), ids=LINES)
def test_callers_of_either_scheme_are_answered(zookeeper, certificates, listen):
    """Each is sent to the port that speaks its scheme."""
    outcome = ours(
        SERVICE + CALLS,
        SERVICE_ID="x",
        ASAB_HOSTNAME="127.0.0.1",
        TEST_LISTEN=listen,
        TEST_CERT=str(certificates / "both.pem"),
        TEST_CA=str(certificates / "ca.pem"),
        **on(zookeeper),
    )
    assert outcome.lines == ["http 404", "https 404"], outcome.log
