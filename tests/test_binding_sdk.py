"""The official SDK as oracle: for the same input it sends what we send, operation by operation."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sdk_cases import CASES
from sdk_oracle import Case, Sdk, Wire, differences, our_call, our_fields, our_wire

from ap_mcp.arguments import check_arguments
from ap_mcp.errors import InvalidArguments
from ap_mcp.specs import Catalog

MEDIA_TYPE = "the file part says what it is, as curl and browsers do; the SDK names no type, which means text/plain"

# (operation, where) → why our request differs from the SDK's on purpose.
DIFFERENCES = {
    ("upload_chart", "body/content/Content-Type"): MEDIA_TYPE,
    ("update_chart", "body/content/Content-Type"): MEDIA_TYPE,
}

OPEN_MAP = "a map of any texts to the SDK; the spec names the one key that matters"
FREE_VALUES = "the SDK names two example keys of what is free-form"
RESOURCES = "not in the API reference: asks for the release's Kubernetes objects, which get_release shows"

# (operation, place) → why only one side knows a field of the request.
FIELDS = {
    ("create_cluster", "/metadata/annotations/cluster.install.addons~1install"): OPEN_MAP,
    ("create_cluster", "/spec/enableAutopilot"): "in the API reference, not in the SDK; never sent (readOnly)",
    ("install_addon", "/metadata/annotations/addon.install~1type"): OPEN_MAP,
    ("update_addon", "/metadata/annotations/addon.upgrade~1type"): OPEN_MAP,
    ("upgrade_cluster", "/spec/clusterUpgradeAction/isOnlyUpgrade"): "not in the reference, and would skip the check",
    ("upgrade_cluster", "/spec/clusterUpgradeAction/agencyName"): "not in the reference: newer versions' agency",
    ("create_release", "/values/imagePullPolicy"): FREE_VALUES,
    ("create_release", "/values/imageTag"): FREE_VALUES,
    ("update_release", "/values/imagePullPolicy"): FREE_VALUES,
    ("update_release", "/values/imageTag"): FREE_VALUES,
    ("update_release", "parameter show_resources"): RESOURCES,
    ("delete_release", "parameter show_resources"): RESOURCES,
}

SOME_WIRE = Wire("PUT", "/a", "b=1", "application/json", {}, {"on": True, "list": [1, {"x": None}], "text": ""})


@pytest.fixture(scope="session")
def sdk() -> Iterator[Sdk]:
    sdk = Sdk()
    yield sdk
    sdk.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_request_is_what_the_sdk_sends(case: Case, catalog: Catalog, sdk: Sdk) -> None:
    found = differences(our_wire(our_call(catalog, case)), sdk.send(case))
    assert {where: said for where, said in found.items() if (case.operation, where) not in DIFFERENCES} == {}


def test_every_listed_difference_is_still_there(catalog: Catalog, sdk: Sdk) -> None:
    found = {
        (case.operation, where)
        for case in CASES
        for where in differences(our_wire(our_call(catalog, case)), sdk.send(case))
    }
    assert set(DIFFERENCES) - found == set()


def test_spec_and_sdk_know_the_same_fields_of_the_same_types(catalog: Catalog, sdk: Sdk) -> None:
    requests = {case.operation: case.request(sdk.models) for case in CASES}
    found: set[tuple[str, str]] = set()
    mistyped: dict[tuple[str, str], tuple[str, str]] = {}
    for name, request in requests.items():
        ours, theirs = our_fields(catalog[name]), sdk.fields(request)
        found |= {(name, place) for place in ours.keys() ^ theirs.keys()}
        mistyped |= {
            (name, place): (ours[place], theirs[place])
            for place in ours.keys() & theirs.keys()
            if theirs[place] not in {ours[place], "any"}
        }
    assert found == set(FIELDS)
    assert mistyped == {}


def test_every_operation_has_a_case(catalog: Catalog) -> None:
    assert {case.operation for case in CASES} == set(catalog)


def test_every_argument_of_every_operation_is_in_a_case(catalog: Catalog) -> None:
    used = {(case.operation, name) for case in CASES for name in case.arguments}
    assert used == {(name, argument) for name, operation in catalog.items() for argument in operation.arguments}


def test_every_operation_has_a_case_that_cannot_be_smaller(catalog: Catalog) -> None:
    smallest = {case.operation: case for case in sorted(CASES, key=lambda case: len(case.arguments), reverse=True)}
    needless = [
        f"{name}: {argument}"
        for name, case in smallest.items()
        for argument in case.arguments
        if not catalog[name].arguments[argument].path_parameter  # sent in any case, also where a name finds it
        if _is_enough(catalog, name, case.arguments.keys() - {argument}, case)
    ]
    assert needless == []


def test_each_operation_is_a_method_of_its_own_in_the_sdk_and_those_of_autopilot_are_called_so(
    catalog: Catalog, sdk: Sdk
) -> None:
    methods = {case.operation: sdk.method(case.request(sdk.models)) for case in CASES}
    assert len(set(methods.values())) == len(methods)
    called_so = {name for name, method in methods.items() if "autopilot" in method}
    assert called_so == {name for name in methods if catalog[name].path.startswith("/autopilot/")}


@pytest.mark.parametrize(
    ("where", "other"),
    [
        ("method", replace(SOME_WIRE, method="POST")),
        ("path", replace(SOME_WIRE, path="/A")),
        ("query", replace(SOME_WIRE, query="b=1&b=1")),
        ("content_type", replace(SOME_WIRE, content_type="text/plain")),
        ("headers/x-new", replace(SOME_WIRE, headers={"x-new": "1"})),
        ("body/on", replace(SOME_WIRE, body={**SOME_WIRE.body, "on": 1})),
        ("body/text", replace(SOME_WIRE, body={"on": True, "list": [1, {"x": None}]})),
        ("body/new", replace(SOME_WIRE, body={**SOME_WIRE.body, "new": None})),
        ("body/list", replace(SOME_WIRE, body={**SOME_WIRE.body, "list": [1]})),
        ("body/list/1/x", replace(SOME_WIRE, body={**SOME_WIRE.body, "list": [1, {"x": False}]})),
        ("body", replace(SOME_WIRE, body=None)),
    ],
)
def test_the_comparison_sees(where: str, other: Wire) -> None:
    assert list(differences(SOME_WIRE, other)) == [where]
    assert list(differences(other, SOME_WIRE)) == [where]


def _is_enough(catalog: Catalog, name: str, kept: set[str], case: Case) -> bool:
    try:
        check_arguments(catalog[name], {argument: case.arguments[argument] for argument in kept})
    except InvalidArguments:
        return False
    return True
