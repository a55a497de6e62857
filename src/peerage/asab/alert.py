"""Not here; importing it says what to do instead."""

from peerage.asab.absent import refuse

refuse(__name__)
