"""The OpenAPI document describes what the API does: a real server is asked in all ways that it allows."""

import json
import os
import sys
from pathlib import Path

import pytest

from peerage.registry import open_registry
from peerage.testing.children import run

#: Records of every kind, hostile ones included.
RECORDS = [
    {
        "host": "node-1",
        "service_id": "orders",
        "instance_id": "orders-1",
        "node_id": "node-1",
        "web": [["::", 1]],
    },
    {"host": "node-1", "service_id": "orders", "instance_id": "orders-2", "peerage": {"state": "draining"}},
    {"service_id": "\ud800", "version": float("nan"), "launch_time": {"a": [float("inf")]}},
    {"instance_id": "x" * 60_000, "discovery": {"shard": [1, 2.5, "3", None, {}], "x" * 999: "y"}},
    {"service_id": "</script><b>", "attention_required": {"x": "\x00"}, "web": "wrong"},
]
TEXTS = [
    *(json.dumps(record) for record in RECORDS),
    '{"a":' + "[" * 900 + "]" * 900 + "}",
    "{",
    "[]",
    "\xff",
]


@pytest.mark.long
async def test_every_answer_is_as_described(tmp_path):
    """By schemathesis: status codes, content types, schemas, methods, and values that aren't valid."""
    url = f"embedded://{tmp_path}/registry"
    registry = open_registry(url)
    environ = {**os.environ, "PEERAGE_REGISTRY": url, "TMPDIR": str(tmp_path)}
    try:
        for text in TEXTS:
            await registry.advertise("A", text.encode("latin-1")).registered()
        serve = run(sys.executable, "-m", "peerage", "serve", "--http", "127.0.0.1:0", environ=environ)
        async with serve as server:
            page = (await server.line()).split()[0]
            schemathesis = run(
                str(Path(sys.executable).with_name("schemathesis")),
                *("run", f"{page}v1/openapi.json", "--exclude-path", "/v1/changes"),
                *("--checks", "all", "--max-examples", "15", "--seed", "1", "--no-color"),
                *("--generation-database", "none"),
                environ=environ,
                cwd=tmp_path,
                patience=None,  # it ends by itself
            )
            async with schemathesis as child:
                code, said = await child.end()
                assert code == 0, said
                assert "No issues found" in said, said
    finally:
        await registry.aclose()
