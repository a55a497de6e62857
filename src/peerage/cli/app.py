"""The commands and their options, as ``--help`` shows them. Each loads the module that does the work."""

import platform
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from peerage import __version__
from peerage.cli.run import run

_CODES = (
    "Exit codes: 0 success; 1 failure; 2 wrong usage; 3 no instance matches; 4 instances are known, but none "
    "could be reached; 5 the registry is out of reach; 6 the service answered with a status of 400 or above; "
    "7 an optional package is missing; 130 ended by Ctrl-C."
)

app = typer.Typer(
    name="peerage",
    help="List the instances in a registry, and call services by name.",
    epilog=_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Registry = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="URL",
        help="The registry, e.g. zookeeper://zk-1:2181/asab. Default: PEERAGE_REGISTRY, else embedded:",
    ),
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.01, help="Time the registry has to answer.")
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


def _end(command: Callable[[], Coroutine[Any, Any, int]]) -> None:
    raise typer.Exit(run(command))


def _show_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        typer.echo(f"peerage {__version__}, Python {platform.python_version()}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end."),
    ] = False,
) -> None:
    """Take the options of all commands."""


@app.command("ls")
def ls(
    *,
    criteria: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Show only instances that match all of them."),
    ] = None,
    registry: Registry = None,
    timeout: Timeout = 5.0,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep running and show every change.")] = False,
    json: Json = False,
) -> None:
    """List the instances.

    With --json one array of all records. With --watch a live table; without a terminal, or with --json, one
    line per change.

    Exit code: 0; 2 wrong usage; 3 no instance matches; 5 the registry is out of reach; 130 ended by Ctrl-C.
    """
    if watch:
        from peerage.cli.watch import watch as watch_changes  # noqa: PLC0415 - each command loads what it needs

        _end(lambda: watch_changes(registry, criteria or [], timeout=timeout, as_lines=json))
    from peerage.cli.ls import list_once  # noqa: PLC0415 - likewise

    _end(lambda: list_once(registry, criteria or [], timeout=timeout, as_array=json))


@app.command("locate")
def locate(
    *,
    criteria: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE", help="All must match, e.g. service_id=orders"),
    ],
    registry: Registry = None,
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Show the URLs of the instances that match, one a line.

    Exit code: 0; 2 wrong usage; 3 no instance matches; 5 the registry is out of reach; 130 ended by Ctrl-C.
    """
    from peerage.cli.ls import locate as locate_urls  # noqa: PLC0415 - each command loads what it needs

    _end(lambda: locate_urls(registry, criteria, timeout=timeout, as_array=json))


@app.command("get")
def get(
    *,
    url: Annotated[str, typer.Argument(help="E.g. http://orders.service_id.asab/v1/orders")],
    method: Annotated[
        str | None,
        typer.Option("-X", "--request", metavar="METHOD", help="Default: GET, with -d POST."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "-d",
            "--data",
            metavar="DATA",
            help="The body: text, @file, or @- for stdin. JSON is sent as such; -H names another type.",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("-H", "--header", metavar="'NAME: VALUE'", help="Sent with it; may be repeated."),
    ] = None,
    location: Annotated[bool, typer.Option("-L", "--location", help="Follow redirects.")] = False,
    include: Annotated[
        bool, typer.Option("-i", "--include", help="Write status and headers to stderr.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Write to stderr, in the end, which instances were asked, why, and how long."
        ),
    ] = False,
    registry: Registry = None,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.01,
            help="Time until the answer begins, and between two pieces of it.",
        ),
    ] = 30.0,
) -> None:
    """Call a service by name and write the answer to stdout.

    Exit code: 0 status below 400; 2 wrong usage; 3 no instance is known by that name; 4 instances are known,
    but none could be reached or answered in time; 5 the registry is out of reach; 6 status of 400 or above;
    130 ended by Ctrl-C.
    """
    from peerage.cli.get import get_url  # noqa: PLC0415 - each command loads what it needs

    _end(
        lambda: get_url(
            registry,
            url,
            method=method,
            headers=header or (),
            data=data,
            redirects=location,
            timeout=timeout,
            show_headers=include,
            explained=explain,
        )
    )


@app.command("doctor")
def doctor(
    *,
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The registry; the same as --registry.")
    ] = None,
    registry: Registry = None,
    timeout: Timeout = 5.0,
    probe: Annotated[
        bool, typer.Option(help="Ask each instance with a HEAD request, which does nothing.")
    ] = True,
    json: Json = False,
) -> None:
    """Say what is wrong with the registry and the records in it, and what to do about it.

    It reads only. The environment of this process is examined as well: run it where a service runs.

    Exit code: 0 all is well; 1 there are problems or warnings; 2 wrong usage; 130 ended by Ctrl-C.
    """
    from peerage.cli.doctor import doctor as run_doctor  # noqa: PLC0415 - each command loads what it needs

    _end(lambda: run_doctor(url, registry, probe=probe, timeout=timeout, as_object=json))


@app.command("serve")
def serve(
    *,
    http: Annotated[
        str,
        typer.Option(
            "--http",
            metavar="ADDRESS:PORT",
            help="Where to listen, e.g. [::1]:8600. Port 0 takes a free one.",
        ),
    ] = "127.0.0.1:8600",
    host_name: Annotated[
        list[str] | None,
        typer.Option(
            "--host-name",
            metavar="NAME",
            help="A name by which this server is called, besides localhost and its address; repeatable.",
        ),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option(
            "--keys",
            metavar="URL",
            help="Keys that verify the callers' tokens: the URL of a JWKS, or a file with one; repeatable.",
        ),
    ] = None,
    allow_anyone: Annotated[
        bool,
        typer.Option("--allow-anyone", help="Let callers on other machines read without a token."),
    ] = False,
    registry: Registry = None,
) -> None:
    """Serve a page that shows the cluster, an HTTP API, and what Prometheus reads, until Ctrl-C.

    It only reads. It also starts while the registry is out of reach, and the page then says so.

    Exit code: 1 it can't listen on the address; 2 wrong usage; 7 an optional package is missing; 130 ended
    by Ctrl-C.
    """
    from peerage.cli.serve import serve as run_serve  # noqa: PLC0415 - each command loads what it needs

    _end(lambda: run_serve(registry, http, host_name or [], keys or [], allow_anyone=allow_anyone))


@app.command("demo")
def demo(
    *,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            metavar="N",
            min=1,
            help="End after N seconds. Default: at Ctrl-C on a terminal, else after 20 s.",
        ),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(
            "--registry",
            metavar="URL",
            help="A registry that processes share. Default: a temporary one on this machine.",
        ),
    ] = None,
    page: Annotated[
        bool,
        typer.Option(
            "--page", help="Serve the page of 'peerage serve' meanwhile, and open it if there is a display."
        ),
    ] = False,
) -> None:
    """Watch a shop call three pricing services, while one is killed and another one joins.

    Each is a process. The shop calls http://pricing.service_id.asab, and no call fails.

    Exit code: 0 if no call failed and every instance answered; 1 if not; 2 wrong usage; 5 the registry is out
    of reach; 130 ended by Ctrl-C. A demo without --seconds has shown everything after 15 s: Ctrl-C then ends
    it with the summary and its code.
    """
    from peerage.cli.demo import demo as run_demo  # noqa: PLC0415 - each command loads what it needs

    _end(lambda: run_demo(registry, seconds, with_page=page))
