"""The configuration that gunicorn needs with ``--preload``, where it loads the application before it forks.

::

    gunicorn --preload --config python:peerage.integrations.gunicorn orders:app

A configuration file of your own imports the hook instead: ``from peerage.integrations.gunicorn import
post_worker_init``. Without ``--preload``, nothing is needed.
"""

from peerage.serving.gunicorn_workers import start_preloaded

__all__ = ["post_worker_init"]


def post_worker_init(worker: object) -> None:  # noqa: ARG001 - gunicorn passes it
    """Let each worker advertise and drain what was loaded before the fork."""
    start_preloaded()
