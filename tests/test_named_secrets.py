"""Which settings of a chart name a Secret, or a service account, that exists already and that its pods can read."""

from pathlib import Path
from typing import Any

import pytest
from agent import connected
from guarded import Person

from ap_mcp.guard.subject import subject_of
from ap_mcp.rules.named_secrets import secrets_named
from ap_mcp.specs import Catalog

SECRET = "Secret db-login"
TOKEN = "the token of ServiceAccount robot"
NAMING: list[tuple[dict[str, Any], str, str]] = [
    ({"auth": {"existingSecret": "db-login"}}, SECRET, "auth.existingSecret"),
    ({"existingSecretName": "db-login"}, SECRET, "existingSecretName"),
    ({"admin": {"existing_secret": "db-login"}}, SECRET, "admin.existing_secret"),
    ({"admin": {"existingSecret": {"name": "db-login", "key": "password"}}}, SECRET, "admin.existingSecret"),
    ({"existingSecrets": ["db-login"]}, SECRET, "existingSecrets"),
    ({"prometheusSpec": {"secrets": ["db-login"]}}, SECRET, "prometheusSpec.secrets"),
    ({"extraEnvVarsSecret": "db-login"}, SECRET, "extraEnvVarsSecret"),
    ({"envFromSecret": "db-login"}, SECRET, "envFromSecret"),
    ({"envFromSecrets": [{"name": "db-login", "optional": True}]}, SECRET, "envFromSecrets"),
    ({"envFrom": [{"secretRef": {"name": "db-login"}}]}, SECRET, "envFrom.0.secretRef"),
    ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db-login", "key": "a"}}}]}, SECRET,
     "env.0.valueFrom.secretKeyRef"),
    ({"mounts": [{"name": "v", "secret": {"secretName": "db-login"}}]}, SECRET, "mounts.0.secret.secretName"),
    ({"volumes": [{"projected": {"sources": [{"secret": {"name": "db-login"}}]}}]}, SECRET,
     "volumes.0.projected.sources.0.secret"),
    ({"tls": {"certificatesSecretName": "db-login"}}, SECRET, "tls.certificatesSecretName"),
    ({"TLS_SECRET_NAME": "db-login"}, SECRET, '"TLS_SECRET_NAME"'),
    ({"serviceAccountName": "robot"}, TOKEN, "serviceAccountName"),
    ({"serviceAccount": {"create": False, "name": "robot"}}, TOKEN, "serviceAccount"),
]  # fmt: skip
NOT_NAMING: list[Any] = [
    None,
    {},
    "existingSecret: db-login",
    {"auth": {"existingSecret": "", "existingSecretPasswordKey": "password", "password": "x"}},
    {"auth": {"existingSecret": None}},
    {"auth": {"existingSecret": {"enabled": False}}},
    {"auth": {"existingSecret": "{{ .Release.Name }}-login"}},
    {"image": {"pullSecrets": ["registry"]}, "imagePullSecrets": [{"name": "registry"}]},
    {"global": {"imagePullSecrets": [{"secretName": "registry"}]}},
    {"ingress": {"tls": [{"secretName": "shop-tls", "hosts": ["a"]}]}},
    {"secret": {"name": "made-by-the-chart", "create": True}, "secrets": {"a": "b"}},
    {"serviceAccount": {"create": True, "name": "robot"}, "serviceAccountName": "default"},
    {"serviceAccount": {"create": False, "name": ""}},
    {"replicas": 3, "existing": "claim", "existingClaim": "data"},
]


@pytest.mark.parametrize(("values", "what", "setting"), NAMING, ids=[each[2] for each in NAMING])
def test_a_setting_that_hands_a_secret_to_the_pods_is_found(
    values: Any, what: str, setting: str, catalog: Catalog
) -> None:
    (found,) = secrets_named(values)
    assert found.what == what
    assert found.setting == setting.strip('"')
    for tool in ("create_release", "update_release"):
        subject = subject_of(catalog[tool], {"values": values})
        assert subject.effects == {catalog[tool].effect, "secret"}
        assert subject.limits == ()


@pytest.mark.parametrize("values", NOT_NAMING)
def test_other_settings_hand_over_nothing_that_exists_already(values: Any, catalog: Catalog) -> None:
    assert secrets_named(values) == []
    assert "secret" not in subject_of(catalog["create_release"], {"values": values}).effects


def test_both_tools_that_take_settings_of_a_chart_go_by_the_secrets_in_them(catalog: Catalog) -> None:
    by_name = {each.id for each in catalog.values() if each.names_secrets}
    assert by_name == {"create_release", "update_release"}
    assert all(catalog[each].worst_effect == "secret" for each in by_name)
    # Their errors hold no credentials, so these are shown.
    assert all(catalog[each].effect != "secret" for each in by_name)


@pytest.mark.anyio
async def test_an_installation_that_names_a_secret_is_asked_about_and_any_other_is_warned_of(tmp_path: Path) -> None:
    person = Person()
    async with connected(tmp_path, person=person, unasked=False) as agent:
        charts = (await agent.call("list_charts"))["charts"]
        given = {"cluster_id": "team-sandbox", "chart_id": charts[0]["id"], "namespace": "default"}
        made = await agent.call("create_release", **given, name="plain", values={"replicas": 2})
        assert person.read == []
        assert any("is up to the chart's templates" in each for each in made["warnings"])
        await agent.call("create_release", **given, name="naming", values={"auth": {"existingSecret": "db-login"}})
        (read,) = person.read
        assert "Secrets: its pods can read Secret db-login (auth.existingSecret), which logs could show." in read
