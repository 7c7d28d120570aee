"""Rules about objects in a cluster: what denies or asks matches in doubt, what allows only to the letter."""

from typing import Any

import pytest

from ap_mcp.guard.policy import Allow, Ask, Policy, Refuse, Rule, decide
from ap_mcp.guard.subject import Objects, Subject

DEPLOYMENT = Objects("Deployment.apps", "shop", "cart")
ROLE = Objects("ClusterRole.rbac.authorization.k8s.io", "", "admin")


def decided(rule: Rule, *objects: Objects, effect: Any = "disrupt") -> type:
    subject = Subject("k8s_patch", frozenset({effect}), "write", on_cluster=True, objects=objects)
    return type(decide(subject, Policy(rules=(rule,))))


MATCHES = [
    ({"namespaces": ("shop",)}, DEPLOYMENT, True, True),
    ({"namespaces": ("SH*",)}, DEPLOYMENT, True, False),
    ({"namespaces": ("prod*",)}, DEPLOYMENT, False, False),
    ({"namespaces": ("prod*",)}, Objects("Namespace", "", "prod-eu"), True, True),
    ({"namespaces": ("prod*",)}, Objects("Namespace", "", "shop"), False, False),
    ({"namespaces": ("prod*",)}, ROLE, True, False),
    ({"namespaces": ("prod*",)}, Objects("Pod"), True, False),
    ({"kinds": ("Deployment",)}, DEPLOYMENT, True, True),
    ({"kinds": ("deployment",)}, DEPLOYMENT, True, False),
    ({"kinds": ("Deployment.apps",)}, DEPLOYMENT, True, True),
    ({"kinds": ("*.rbac.authorization.k8s.io",)}, ROLE, True, True),
    ({"kinds": ("*.rbac.authorization.k8s.io",)}, DEPLOYMENT, False, False),
    ({"kinds": ("Service",)}, Objects("Service.serving.example.com", "shop", "cart"), True, False),
    ({"kinds": ("Service.serving.example.com",)}, Objects("Service.serving.example.com", "shop", "cart"), True, True),
    ({"names": ("cart",)}, DEPLOYMENT, True, True),
    ({"names": ("cart",)}, Objects("Pod", "shop"), True, False),
    ({"names": ("*-prod",)}, DEPLOYMENT, False, False),
    ({"namespaces": ("shop",), "kinds": ("Secret",)}, DEPLOYMENT, False, False),
    ({"namespaces": ("shop",), "kinds": ("Deployment",), "names": ("c*",)}, DEPLOYMENT, True, True),
]


@pytest.mark.parametrize(("named", "objects", "closes", "opens"), MATCHES)
def test_a_rule_reaches_objects_by_namespace_kind_and_name(
    named: dict[str, Any], objects: Objects, closes: bool, opens: bool
) -> None:
    assert decided(Rule("deny", **named), objects) is (Refuse if closes else Ask)
    assert decided(Rule("ask", effects=("write",), **named), objects, effect="write") is (Ask if closes else Allow)
    assert decided(Rule("allow", effects=("disrupt",), **named), objects) is (Allow if opens else Ask)


def test_the_strictest_of_several_objects_decides_for_all() -> None:
    both = (DEPLOYMENT, Objects("Secret", "shop", "db"))
    assert decided(Rule("deny", kinds=("Secret",)), *both) is Refuse
    assert decided(Rule("allow", kinds=("Deployment",), effects=("disrupt",)), *both) is Ask
    assert decided(Rule("allow", kinds=("Deployment", "Secret"), effects=("disrupt",)), *both) is Allow


def test_a_rule_about_objects_reaches_no_call_that_names_none() -> None:
    assert decided(Rule("deny", namespaces=("*",))) is Ask
    subject = Subject("create_release", frozenset({"write"}), "write", on_cluster=True)
    assert isinstance(decide(subject, Policy(rules=(Rule("deny", kinds=("*",)),))), Allow)


def test_reading_a_kind_is_closed_by_a_rule_that_names_the_effect() -> None:
    secret = Objects("Secret", "shop", "db")
    assert decided(Rule("deny", kinds=("Secret",), effects=("read",)), secret, effect="read") is Refuse
    assert decided(Rule("deny", kinds=("Secret",)), secret, effect="read") is Allow
