"""Prometheus' own tools read what is served, the files of the documentation, and the targets."""

import asyncio
import subprocess

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from tests.auth.support import claims, jwk, jwks, token
from tests.docs.pages import blocks
from tests.prometheus.conftest import served
from tests.prometheus.shown import RULES, TESTS, expressions
from tests.support import record

from peerage.prometheus import collector
from peerage.serve import View, create_app

pytestmark = pytest.mark.long


def promtool(*arguments: object, text: bytes = b"") -> str:
    """Run promtool, which must find no fault, and return what it says."""
    done = subprocess.run(
        ["promtool", *map(str, arguments)],  # noqa: S607 - wherever it is installed
        input=text,
        capture_output=True,
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


async def test_the_metrics_have_no_fault(discovery, client):
    """``promtool check metrics`` is silent: on those of a Discovery, and on those of peerage serve."""
    await discovery.ready()
    for number, name in enumerate(("orders", 'a "name"\n', "имя")):
        discovery.directory.put(record(f"{number}", number, service_id=name))
    registry = CollectorRegistry()
    registry.register(collector(discovery))
    async with client.get("/metrics") as response:
        served = await response.read()
    for text in (generate_latest(registry), served):
        assert await asyncio.to_thread(promtool, "check", "metrics", text=text) == ""


def test_each_alert_fires_when_it_should(tmp_path):
    """And not before, or otherwise."""
    promtool("check", "rules", RULES)
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            del rule["annotations"]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(rules))
    (tmp_path / TESTS.name).write_text(TESTS.read_text())
    assert "SUCCESS" in promtool("test", "rules", tmp_path / TESTS.name)


def test_the_panels_of_the_dashboard_are_expressions(tmp_path):
    """Prometheus reads each as a rule."""
    rules = [
        {"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions().values())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def test_the_configuration_of_the_documentation_is_valid(tmp_path):
    """The parts of a job that are shown by themselves are added to the first one."""
    whole, part = (
        yaml.safe_load(block.text) for block in blocks("docs/prometheus.md") if block.language == "yaml"
    )
    (tmp_path / "alerts.yml").write_text(RULES.read_text())
    whole["scrape_configs"][0]["relabel_configs"] += part["relabel_configs"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(whole))
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")


async def test_the_targets_are_found(tmp_path, discovery, client):
    """With hostile texts as well, by ``promtool check service-discovery``."""
    await discovery.ready()
    for number, fields in enumerate(
        (
            {"host": "node-1"},
            {"host": "2001:db8::1"},
            {
                "host": "node-3",
                "appclass": '"\n\0',
                "version": {"a": 1},
                "discovery": {"ключ": [1], "1 a": [2]},
            },
            {"host": "node-4", "site_id": "x\ud800", "discovery": {"__address__": ["evil:80"]}},
        )
    ):
        discovery.directory.put(record(f"{number}", number, **fields))
    targets = yaml.safe_load(await found(tmp_path, client))
    assert {target["discoveredLabels"]["__address__"] for target in targets} == {
        "node-1:80",
        "[2001:db8::1]:80",
        "node-3:80",
        "node-4:80",
    }
    assert all(target["labels"]["job"] == "services" for target in targets)


async def test_the_targets_are_found_with_a_token(tmp_path, discovery):
    """As the documentation says: where peerage serve needs one."""
    await discovery.ready()
    discovery.directory.put(record("1"))
    keys, bearer = tmp_path / "keys.json", tmp_path / "token"
    keys.write_bytes(jwks(jwk()))
    bearer.write_text(token(claims(resources={"*": ["peerage:read"]})))
    verifier = discovery.auth.verifier((), keys, internal=False)
    async with (
        View(discovery.membership) as view,
        served(create_app(view, verifier=verifier)) as client,
    ):
        assert "401 Unauthorized" in await found(tmp_path, client)
        authorization = {"type": "Bearer", "credentials_file": str(bearer)}
        said = await found(tmp_path, client, authorization=authorization)
    (target,) = yaml.safe_load(said)
    assert target["discoveredLabels"]["__address__"] == "node-1:80"


async def found(folder, client, **options):
    """What promtool says of the targets that it finds, with these options of ``http_sd_configs``."""
    services = {
        "job_name": "services",
        "http_sd_configs": [{"url": f"{client._base_url}/v1/prometheus/targets", **options}],
        "relabel_configs": [{"source_labels": ["__meta_peerage_instance"], "target_label": "instance"}],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [services]}))
    return await asyncio.to_thread(promtool, "check", "service-discovery", "--timeout=2s", file, "services")
