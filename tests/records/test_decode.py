"""Reading one advertised record."""

import socket

import pytest
from tests.records.support import encoded, golden, read, web

from peerage.records.decode import decode
from peerage.records.instance import Endpoint

V4, V6 = socket.AF_INET, socket.AF_INET6


class TestGolden:
    def test_a_record_as_asab_25_15_writes_it(self):
        """Repeated and null entries, IPv6 with four items and a manifest are read without a problem."""
        instance, problems = decode("MyApplication.0000090098", golden("asab-25.15.json"), 7)
        assert problems == ()
        assert instance is not None
        assert (instance.name, instance.sequence, instance.ephemeral) == ("MyApplication.0000090098", 7, True)
        assert instance.host == "lmc01"
        assert instance.appclass == "MyApplication"
        assert instance.endpoints == (Endpoint("lmc01", 8090, V4), Endpoint("lmc01", 8090, V6))
        assert instance.urls == ("http://lmc01:8090",)
        assert set(instance.ids) == {
            ("instance_id", "my-application-1"),
            ("service_id", "my-application"),
            ("node_id", "lmc01"),
            ("site_id", "brno"),
            ("shard", "1"),
            ("shard", "two"),
            ("color", "blue"),
        }
        assert instance.callable
        assert not instance.draining
        assert (instance.scheme, instance.state, instance.weight) == (None, None, 1.0)

    def test_ids_are_spelled_as_advertised(self):
        """Listings and discover() show the spelling of the record, and numbers as numbers."""
        instance, _ = decode("n", golden("asab-25.15.json"))
        assert instance is not None
        assert instance.instance_id == "My-Application-1"
        assert instance.service_id == "my-application"
        assert instance.node_id == "lmc01"
        assert instance.id("site_id") == "Brno"
        assert instance.id("nothing") is None
        assert [value for key, value in instance.advertised_ids() if key == "shard"] == [1, "Two"]

    def test_unknown_fields_are_kept(self):
        """record() returns everything that was advertised, as a new object for each caller."""
        instance, _ = decode("n", golden("asab-25.15.json"))
        assert instance is not None
        record = instance.record()
        assert record["a key of tomorrow"] == {"kept": [True, None, 1.5]}
        assert record["attention_required"]["disk"]["_c"] == pytest.approx(1701427949.2)
        assert record["CI_RUNNER_EXECUTABLE_ARCH"] == "linux/amd64"
        record.clear()
        assert instance.record()

    def test_a_worker_that_doesnt_listen_is_not_callable(self):
        """A record without web has no problem, and a service_id is used without an instance_id."""
        instance, problems = decode("n", golden("asab-worker.json"))
        assert problems == ()
        assert instance is not None
        assert instance.ids == (("service_id", "worker"),)
        assert not instance.callable
        assert instance.urls == ()
        assert "not callable" in repr(instance)

    def test_a_record_of_peerage(self):
        """Scheme, state, weight and addresses are under the key peerage."""
        instance, problems = decode("n", golden("peerage.json"))
        assert problems == ()
        assert instance is not None
        assert instance.urls == ("https://node-1.example.org:8443",)
        assert instance.draining
        assert instance.callable
        assert instance.weight == pytest.approx(2.5)
        assert instance.addresses == ("10.1.2.3", "2001:db8::7")

    def test_on_its_own_host_it_is_called_by_loopback(self):
        """With the same host_key, each endpoint has the loopback address of its family, and the same URL."""
        instance, _ = decode("n", golden("peerage.json"), host_key="00112233445566ff")
        assert instance is not None
        assert [endpoint.address for endpoint in instance.endpoints] == ["127.0.0.1", "::1"]
        assert instance.urls == ("https://node-1.example.org:8443",)


class TestEndpoints:
    def test_a_socket_on_one_address_is_called_there(self):
        """IPv6 addresses are in brackets. The record needs no host."""
        endpoints, problems = web(["10.0.0.7", 80], ["2001:db8::1", 81, 0, 0], host=..., peerage=...)
        assert problems == ()
        assert endpoints == (
            Endpoint("10.0.0.7", 80, V4),
            Endpoint("2001:db8::1", 81, V6),
        )
        assert [endpoint.authority for endpoint in endpoints] == ["10.0.0.7:80", "[2001:db8::1]:81"]

    def test_a_host_that_is_an_ipv6_address_is_bracketed(self):
        """A host may be a literal address."""
        instance, problems = decode("n", encoded(host="2001:db8::5"))
        assert problems == ()
        assert instance is not None
        assert instance.urls == ("https://[2001:db8::5]:8080",)

    def test_a_mapped_address_is_the_ipv4_address(self):
        """::ffff:a.b.c.d is treated as a.b.c.d in every respect."""
        assert web(["::ffff:10.0.0.1", 80])[0] == (Endpoint("10.0.0.1", 80, V4, scheme="https"),)
        assert web(["::ffff:0.0.0.0", 80])[0] == (Endpoint("node-1", 80, V4, scheme="https"),)
        assert web(["::ffff:127.0.0.1", 80])[0] == ()

    @pytest.mark.parametrize("bound", ["127.0.0.1", "127.1.2.3", "::1"])
    def test_loopback_only_from_the_same_host(self, bound):
        """A peer on another host would call itself. Without a host_key, no instance is on the same host."""
        own = {"host_key": "here"}
        assert web([bound, 80], peerage=own)[0] == ()
        assert web([bound, 80], peerage=own, host_key="there") == ((), ())
        assert web([bound, 80], peerage={}, host_key="there") == ((), ())
        ((endpoint,), problems) = web([bound, 80], peerage=own, host_key="here")
        assert problems == ()
        assert (endpoint.host, endpoint.address) == (bound, bound)

    @pytest.mark.parametrize("bound", ["169.254.1.1", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1"])
    def test_link_local_and_multicast_are_never_called(self, bound):
        """They have a meaning on one link only. The other entries of the record are called."""
        assert web([bound, 80], ["0.0.0.0", 81]) == ((Endpoint("node-1", 81, V4, scheme="https"),), ())

    def test_repeated_entries_are_one_endpoint(self):
        """IPv4 and IPv6 of one host and port are two endpoints with one URL."""
        instance, _ = read(web=[["0.0.0.0", 80], ["::", 80, 0, 0], ["0.0.0.0", 80]])
        assert len(instance.endpoints) == 2
        assert instance.urls == ("https://node-1:80",)

    def test_a_record_that_no_process_owns_isnt_called(self):
        """A record that was created by hand is only shown."""
        instance, _ = decode("n", encoded(), ephemeral=False)
        assert instance is not None
        assert instance.urls
        assert not instance.callable


SCHEMES = {"schemes": {"8443": "https", "8080": "http"}}


class TestScheme:
    def test_each_port_has_its_scheme(self):
        """A service may have TLS on one port and plain HTTP on another. No URL mixes the two."""
        instance, problems = read(web=[["0.0.0.0", 8443], ["10.0.0.1", 8080]], peerage=SCHEMES)
        assert problems == ()
        assert [(each.port, each.scheme) for each in instance.endpoints] == [(8443, "https"), (8080, "http")]
        assert instance.urls == ("https://node-1:8443", "http://10.0.0.1:8080")
        assert instance.scheme is None

    def test_the_scheme_of_the_record_is_that_of_all_other_ports(self):
        """Without it the scheme isn't known, and URLs begin with http, as in ASAB."""
        instance, _ = read(web=[["::", 1], ["::", 8443]], peerage={**SCHEMES, "scheme": "http"})
        assert [each.scheme for each in instance.endpoints] == ["http", "https"]
        instance, _ = read(web=[["::", 1], ["::", 8443]], peerage=SCHEMES)
        assert [each.scheme for each in instance.endpoints] == [None, "https"]
        assert instance.urls == ("http://node-1:1", "https://node-1:8443")

    def test_endpoints_that_agree_give_the_instance_its_scheme(self):
        """If the record uses only one of the ports, there is no mixture."""
        assert read(web=[["::", 8443]], peerage=SCHEMES)[0].scheme == "https"
        assert read(web=[["::", 8443]])[0].scheme == "https"

    @pytest.mark.parametrize("value", ["ftp", 1, ["https"], {}])
    def test_a_wrong_scheme_of_a_port_is_skipped(self, value):
        """The port has the scheme of the record, and other ports keep theirs."""
        own = {"schemes": {"1": value, "2": "https"}, "scheme": "http"}
        instance, problems = read(web=[["::", 1], ["::", 2]], peerage=own)
        assert [each.scheme for each in instance.endpoints] == ["http", "https"]
        (problem,) = problems
        assert problem.startswith("peerage.schemes.'1' is ")

    @pytest.mark.parametrize("value", ["https", 1, ["https"]])
    def test_schemes_that_are_no_object_are_skipped(self, value):
        """The record is used without them."""
        instance, problems = read(peerage={"schemes": value})
        assert instance.callable
        assert problems == (f"peerage.schemes is {value!r}, not an object.",)


def test_two_instances_are_equal_only_if_they_are_one():
    """A changed record is another instance, and so is an equal record that was decoded again."""
    one, other = decode("n", encoded()).instance, decode("n", encoded()).instance
    assert one == one  # noqa: PLR0124 - identity is the point
    assert one != other
    assert len({one, other}) == 2


def test_of_two_spellings_of_one_id_the_first_is_shown():
    """Both spellings are one id."""
    instance, _ = read(discovery={"shard": ["A", "a"], "SHARD": ["a"]})
    assert [value for key, value in instance.advertised_ids() if key == "shard"] == ["A"]


def test_the_name_in_a_repr_is_escaped():
    """The text of a record can't control the terminal in which it is printed."""
    instance, _ = decode("n\x1b", encoded(instance_id="x\x1b[31m"))
    assert repr(instance).isprintable()
