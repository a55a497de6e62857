"""The dashboard, the alerts and the table of metrics name what is really exported."""

import re

import pytest
import yaml
from tests.docs.pages import text_of
from tests.prometheus.shown import TESTS, dashboard, expressions, metrics_in, rules

from peerage.prometheus import collector


@pytest.fixture
def families(discovery):
    """All metrics: of a Discovery, and of peerage serve, which has the same and those of its clients."""

    class Clients:
        clients = dropped = 0

    return [*collector(discovery).collect(), *collector(Clients()).collect()]


@pytest.fixture
def exported(families):
    """The names that an expression can use."""
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"]}
    return {f"{family.name}{ending}" for family in families for ending in endings.get(family.type, [""])}


def labels_of(family):
    """The names of its labels."""
    if family.type == "info":
        return set(family.samples[0].labels)
    return set(getattr(family, "labels", ())) - {"le"}


def test_names_follow_the_conventions(families):
    """Base units, and a sentence that says what is shown."""
    for family in families:
        assert re.fullmatch("peerage_[a-z_]+[a-z]", family.name)
        assert not family.name.endswith(("_total", "_count", "_ms", "_milliseconds"))
        assert re.fullmatch("[A-Z].*[.]", family.documentation)
    assert len({family.name for family in families}) == len(families)


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in rules()])
def test_an_alert_names_what_is_exported(rule, exported):
    """It says what is wrong and what to do, and how urgent that is."""
    names = metrics_in(rule["expr"])
    assert names
    assert names <= exported
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert all(rule["annotations"][key].endswith(".") for key in ("summary", "description"))


def test_each_alert_is_tested_both_ways():
    """That it fires, and that it doesn't."""
    tested = {
        (each["alertname"], bool(each["exp_alerts"]))
        for test in yaml.safe_load(TESTS.read_text())["tests"]
        for each in test["alert_rule_test"]
    }
    fires = {(rule["alert"], True) for rule in rules()}
    # Of one alert each test says which of several series it is about.
    assert fires <= tested
    assert {name for name, fired in tested if not fired} >= {name for name, _ in fires} - {"PeerageStaleData"}


@pytest.mark.parametrize("name", expressions())
def test_a_panel_shows_what_is_exported(name, exported):
    """The label service is that of a service, and the label job that of a program."""
    names = metrics_in(expressions()[name])
    assert names
    assert names <= exported


def test_the_dashboard_can_be_imported():
    """It asks for its data source, its panels don't overlap, and each says what it shows."""
    shown = dashboard()
    (source, *others) = shown["templating"]["list"]
    assert (source["name"], source["type"]) == ("datasource", "datasource")
    assert all(metrics_in(variable["definition"]) for variable in others)
    panels = shown["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = set()
    for panel in panels:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["description"].endswith(".")
        place = panel["gridPos"]
        cells = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & places
        assert max(x for x, _ in cells) < 24
        places |= cells


def test_everything_that_is_exported_is_explained(families):
    """In a table, with the sentence that Prometheus shows as well."""
    rows = re.findall(
        r"^\| `(peerage_[a-z_]+)` \| (\w+) \| (.*?) \| (.*) \|$", text_of("docs/prometheus.md"), re.MULTILINE
    )
    explained = {
        name: (kind, {label.strip("`") for label in labels.split(", ") if label}, text)
        for name, kind, labels, text in rows
    }
    ending = {"counter": "_total", "info": "_info"}
    assert explained == {
        f"{family.name}{ending.get(family.type, '')}": (
            family.type if family.type != "info" else "gauge",
            labels_of(family),
            family.documentation,
        )
        for family in families
    }
