"""Input schemas as clients are shown them: flat, closed, described, and acceptable to every host."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ap_mcp.schemas import input_schema, nodes_at, strict
from ap_mcp.specs import Catalog, load_catalog

NAMES = sorted(load_catalog())
REJECTED_BY_HOSTS = {
    "oneOf",
    "anyOf",
    "allOf",
    "not",
    "if",
    "$ref",
    "$defs",
    "propertyNames",
    "readOnly",
    "contentMediaType",
}


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema inside a schema."""
    yield schema
    for child in [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]:
        if isinstance(child, dict):
            yield from nodes(child)


@pytest.mark.parametrize("name", NAMES)
def test_an_input_schema_is_one_that_every_host_accepts(catalog: Catalog, name: str) -> None:
    schema = input_schema(catalog[name])
    Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    for node in nodes(schema):
        assert not REJECTED_BY_HOSTS & node.keys()
        assert isinstance(node.get("type"), str), node
    for argument in schema["properties"].values():
        assert argument["description"]


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_of_an_operation_can_be_made_self_contained(catalog: Catalog, name: str) -> None:
    operation = catalog[name]
    for schema in filter(None, (operation.body, operation.response)):
        closed = strict(operation, schema)
        Draft202012Validator.check_schema(closed)
        assert ".json#" not in json.dumps(closed)


def test_what_the_api_requires_and_nothing_else_supplies_is_required(catalog: Catalog) -> None:
    required = {name: set(input_schema(catalog[name]).get("required", ())) for name in catalog}
    assert required["create_cluster"] == {"name", "vpc_id", "subnet_id", "eni_subnet_ids"}
    assert required["set_cluster_public_access"] == {"cluster_id", "action"}
    assert required["run_precheck"] == {"cluster_id", "target_version"}  # the current version is filled in
    assert required["get_quotas"] == set()


def test_a_list_argument_takes_its_bounds_from_the_array(catalog: Catalog) -> None:
    subnets = input_schema(catalog["create_cluster"])["properties"]["eni_subnet_ids"]
    assert subnets["type"] == "array"
    assert subnets["items"]["type"] == "string"
    assert subnets["minItems"] == 1


def test_a_map_argument_shows_what_its_values_are(catalog: Catalog) -> None:
    tags = input_schema(catalog["add_cluster_tags"])["properties"]["tags"]
    assert tags["type"] == "object"
    assert tags["additionalProperties"]["type"] == "string"


def test_a_file_argument_is_a_path(catalog: Catalog) -> None:
    path = input_schema(catalog["upload_chart"])["properties"]["chart_path"]
    assert path["type"] == "string"
    assert path["minLength"] == 1


def test_a_recursive_schema_stays_finite_and_strict(catalog: Catalog) -> None:
    job = catalog["get_job"]
    assert job.response is not None
    validator = Draft202012Validator(strict(job, job.response))
    errors = validator.iter_errors({"spec": {"subJobs": [{"spec": {"subJobs": [{"spec": {"surprise": 1}}]}}]}})
    strays = [error.json_path for error in errors if error.validator == "additionalProperties"]
    assert strays == ["$.spec.subJobs[0].spec.subJobs[0].spec"]


def test_a_place_outside_the_schema_is_an_error(catalog: Catalog) -> None:
    for place in ("/spec/nothing", "$request.query.nothing"):
        with pytest.raises(KeyError):
            nodes_at(catalog["create_cluster"], place)
    with pytest.raises(KeyError):
        nodes_at(catalog["get_job"], "/body")
