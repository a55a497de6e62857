"""What the documents about Prometheus name: metrics, alerts, panels."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from tests.docs.pages import ROOT

FOLDER = ROOT / "docs" / "prometheus"
RULES = FOLDER / "alerts.yml"
TESTS = Path(__file__).with_name("alerts.test.yml")


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    found: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return found


def expressions() -> dict[str, str]:
    """The expressions of the panels, without variables, by the title of the panel and a letter."""
    return {
        f"{panel['title']}: {target['refId']}": target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$job", ".*")
        .replace("$service", ".*")
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    }


def metrics_in(text: str) -> set[str]:
    """The names of metrics of peerage that *text* has."""
    return set(re.findall(r"\bpeerage_[a-z_]+", text))
