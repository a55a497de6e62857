"""Tests without an event loop: the clock and the peers reach the loop that peerage.sync runs in a thread."""

import time

import pytest

import peerage
from peerage import sync

ORDERS = "http://orders.service_id.asab/"


def test_a_hanging_peer_takes_no_real_time(peers, virtual_clock):
    orders = peers.add("orders", 1)
    with sync.Discovery() as discovery, discovery.client() as client:
        assert client.get(ORDERS).json() == 1
        orders.hang()
        began, real = virtual_clock.time(), time.monotonic()
        with pytest.raises(peerage.DeadlineExceededError), sync.deadline(300):
            client.get(ORDERS, timeout=None)
        assert virtual_clock.time() - began >= 300
        assert time.monotonic() - real < 150


def test_a_peer_is_known_when_it_was_added(peers):
    with sync.Discovery() as discovery:
        assert not discovery.locate(service_id="orders")
        orders = peers.add("orders", 1)
        assert discovery.locate(service_id="orders") == {orders.url}
        orders.kill()
        assert not discovery.locate(service_id="orders")
