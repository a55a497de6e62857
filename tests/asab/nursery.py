"""Runs programs in forks of a process that has imported what they need: a tenth of the time of a new one.

Usage: nursery.py MODULE. Each line of standard input is a JSON object: the program, its arguments, its
environment, its folder, and the files for its output. Each answer is its exit code.
"""

import atexit
import gc
import importlib
import json
import os
import sys
import traceback
import warnings


def grow(module):
    """Import what programs do, so that their forks needn't."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("asyncio", "aiohttp.web", module, f"{module}.application", f"{module}.web"):
            importlib.import_module(name)
        for name in (
            *(f"{module}.web.{name}" for name in ("container", "rest.json", "rest.schema", "rest.errors")),
            *(f"{module}.web.auth", f"{module}.web.auth.service", f"{module}.web.auth.decorator"),
            *(f"{module}.zookeeper", f"{module}.zookeeper.container", f"{module}.api"),
            *(f"{module}.api.service", f"{module}.api.discovery", "kazoo.client"),
            *(("peerage.backends.zookeeper",) if module == "peerage.asab" else ()),
        ):
            try:
                importlib.import_module(name)
            except ImportError:
                continue
    # Neither copied nor looked through in a fork.
    gc.freeze()


def wait_for_a_job():
    """Answer jobs by forks; return in the fork."""
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return job
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - its side of the pipe
    sys.exit()


def become(job):
    """Make this process the one that the job describes."""
    for name, number in (("out", 1), ("log", 2)):
        file = os.open(job[name], os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environ"])
    sys.argv = ["-c", *job["args"]]


def run(program):
    """Run *program* as the interpreter does with -c, and return its exit code."""
    try:
        exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - the test's
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        print(error.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
        return 1
    except BaseException:  # noqa: BLE001 - likewise
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    grow(sys.argv[1])
    todo = wait_for_a_job()
    become(todo)
    code = run(todo["program"])
    atexit._run_exitfuncs()
    # Warn now of what was left open. The rest of an interpreter's end takes longer than most programs.
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
