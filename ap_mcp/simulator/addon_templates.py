"""Add-on templates in the vendor's shape, made from the catalogue, and what follows from them."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from ap_mcp.simulator.addon_catalogue import PRODUCTS, WORDS, Component, Product, Release
from ap_mcp.simulator.constants import REGION
from ap_mcp.simulator.world import Row, copied

IMAGE_REGISTRY = f"swr.{REGION}.myhuaweicloud.com"
IMAGE_OWNER = "autopilot-official"
MARKET = "https://addons.simulated.invalid"
CUSTOM_SIZE = "custom-resources"
_BY_NAME = {known: product for product in PRODUCTS for known in (product.name, product.alias or product.name)}


def product_named(name: str) -> Product | None:
    """Return the product of this name or alias."""
    return _BY_NAME.get(name)


def templates(name: str = "") -> list[Row]:
    """List the templates, or the one of this name or alias, if there is one."""
    chosen = PRODUCTS if not name else tuple(filter(None, (product_named(name),)))
    return [copied(_template(product.name)) for product in chosen]


def version_of(name: str, version: str) -> Row:
    """Return one version of a template in the vendor's shape.

    Raises:
        KeyError: if the template has no such version.
    """
    versions = {each["version"]: each for each in _template(name)["spec"]["versions"]}
    return copied(dict(versions[version]))


def fits(name: str, version: str, cluster_version: str) -> bool:
    """Say whether a version of an add-on runs on a cluster version (`v1.28`, `v1.28.6-r0`)."""
    release = next((each for each in _BY_NAME[name].releases if each.version == version), None)
    return release is not None and bool(re.match(_pattern(release), cluster_version))


def fitting(name: str, cluster_version: str, *, above: str = "") -> list[str]:
    """List the versions of an add-on that run on a cluster version, oldest first, only newer ones than `above`."""
    return [
        release.version
        for release in _BY_NAME[name].releases
        if fits(name, release.version, cluster_version) and (not above or order(release.version) > order(above))
    ]


def newest(name: str, cluster_version: str) -> str | None:
    """Return the newest stable version of an add-on that runs on a cluster version."""
    stable = {release.version for release in _BY_NAME[name].releases if release.stable}
    return next((version for version in reversed(fitting(name, cluster_version)) if version in stable), None)


def order(version: str) -> tuple[int, ...]:
    """Return what versions are compared by."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def default_values(name: str, version: str) -> Row:
    """Return the values an instance gets where the caller says nothing: basics, settings, the default size."""
    form = version_of(name, version)["input"]
    sizes = [size for key, size in form["parameters"].items() if key != "custom"]
    size = next(size for size in sizes if size.get("is_default"))
    resources = [{"id": each["name"], **each} for each in size["resources"]]
    return {
        "basic": form["basic"],
        "custom": form["parameters"]["custom"],
        "flavor": {**size, "resources": resources},
    }


@cache
def _template(name: str) -> Row:
    product = _BY_NAME[name]
    return {
        "kind": "Addon",
        "apiVersion": "v3",
        "metadata": {
            "uid": product.name,
            "name": product.name,
            "alias": product.alias or product.name,
            "creationTimestamp": _moment(product.releases[0].day),
            "updateTimestamp": _moment(product.releases[-1].day),
        },
        "spec": {
            "type": "helm",
            "require": product.required,
            "labels": [product.label],
            "logoURL": f"{MARKET}/{product.name}/logo.svg",
            "readmeURL": f"{MARKET}/{product.name}/readme.md",
            "description": product.about,
            "versions": [_version(product, release) for release in reversed(product.releases)],
        },
    }


def _version(product: Product, release: Release) -> Row:
    sizes = {
        f"autopilot-flavor{at}": _size(product.components, name, at)
        for at, name in enumerate((*product.sizes, CUSTOM_SIZE), start=1)
    }
    return {
        "version": release.version,
        "input": {
            "basic": {**_basics(product, release), "swr_addr": IMAGE_REGISTRY, "swr_user": IMAGE_OWNER},
            "parameters": {**sizes, "custom": copied(dict(product.custom))},
        },
        "stable": release.stable,
        "translate": {
            "en_US": _texts(product, release.news, product.about, sizes, 0),
            "zh_CN": _texts(product, release.news, product.about_zh, sizes, 1),
        },
        "supportVersions": [
            {"clusterType": "VirtualMachine", "clusterVersion": [_pattern(release)], "category": ["Autopilot"]}
        ],
        "creationTimestamp": _moment(release.day),
        "updateTimestamp": _moment(release.day),
    }


def _basics(product: Product, release: Release) -> Row:
    known = {"{version}": release.version, "{region}": REGION}
    return {key: known.get(str(value), value) for key, value in product.basic.items()}


def _size(components: tuple[Component, ...], name: str, step: int) -> Row:
    factor = 2 ** (step - 1) if name != CUSTOM_SIZE else 1
    first = {"is_default": True} if step == 1 else {}
    return {
        "category": ["Autopilot"],
        **first,
        "name": f"autopilot-flavor{step}" if name != CUSTOM_SIZE else CUSTOM_SIZE,
        "replicas": 2,
        "resources": [_resources(component, factor) for component in components],
    }


def _resources(component: Component, factor: int) -> Row:
    cpu, memory = f"{component.milli_cpu * factor}m", f"{component.mebibytes * factor}Mi"
    return {
        "name": component.name,
        "limitsCpu": cpu,
        "limitsMem": memory,
        "requestsCpu": cpu,
        "requestsMem": memory,
    }


def _texts(product: Product, news: str, about: str, sizes: Mapping[str, Any], language: int) -> Row:
    labels = {f"Parameters.custom.{key}": WORDS[key][language] for key in product.custom if key in WORDS}
    names = {f"Parameters.{key}.name": label for key, label in zip(sizes, (*product.sizes, "Custom"), strict=True)}
    loads = {f"Parameters.{key}.description": _load(size) for key, size in sizes.items()}
    return {
        "addon": {"changeLog": news, "description": about},
        "description": {**labels, **loads, **names},
        "key": labels,
    }


def _load(size: Row) -> str:
    asked = ", ".join(f"{each['name']} {each['requestsCpu']} {each['requestsMem']}" for each in size["resources"])
    return f"{size['replicas']} replicas; each asks for {asked}"


def _pattern(release: Release) -> str:
    return rf"v1.({release.minors}).*"


def _moment(day: str) -> str:
    return f"{day}T09:06:25Z"
