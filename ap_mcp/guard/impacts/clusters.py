"""What guarded calls on a cluster itself would do: deletion, subnets, kubeconfigs, public access, tags."""

from collections.abc import Mapping
from typing import Any

from ap_mcp.guard.impacts.base import (
    Answers,
    Case,
    Impact,
    ImpactDraft,
    about_cluster,
    gather,
    impact_of,
    looks_like_production,
    name_of,
    pair,
    read,
    refused,
    sign_of_production,
)
from ap_mcp.masking import mask
from ap_mcp.masking.supplied import as_supplied
from ap_mcp.rules.clusters import phase_of, tags_of
from ap_mcp.rules.deletion import Chosen, chosen
from ap_mcp.rules.phases import CLUSTER, under_way, verdict
from ap_mcp.rules.settings_diff import changes, every_line, shown
from ap_mcp.rules.wait_hints import how_to_wait
from ap_mcp.specs.waits import DELETING
from ap_mcp.vendor import get, items, text, word
from ap_mcp.wording import few, plural

_IF_IT_FAILS = {
    "stop": "the deletion stops if that fails",
    "continue": "if that fails they stay and may keep costing",
}


@impact_of("delete_cluster")
async def delete_cluster(case: Case) -> Impact:
    """Say what goes with a cluster, and what it leaves behind."""
    named = {"cluster_id": case.cluster_id}
    answers = await gather(
        case,
        cluster=read("get_cluster", **named),
        releases=read("list_releases", **named),
        addons=read("list_addons", **named),
        endpoints=read("get_cluster_endpoints", **named),
    )
    cluster = answers.needed("cluster")
    phase, job = phase_of(cluster), text(get(cluster, "/status/jobID"))
    if verdict(CLUSTER, phase) == DELETING:
        wait = how_to_wait("get_cluster", cluster, cluster_id=case.cluster_id)
        follow = f' get_job(job_id="{word(job)}") shows how far it is.' if job else ""
        raise refused(f"cluster {name_of(cluster)} is being deleted already", wait + follow)
    draft = _draft(case, cluster, f"Deletes cluster {name_of(cluster)} for good, with everything that runs in it.")
    draft.deed = f"Deletes cluster {name_of(cluster)}."
    if under_way(CLUSTER, phase):
        draft.warnings.append(f"The cluster is {phase}: something is under way in it.")
    _about_releases(draft, answers)
    _about_addons(draft, answers)
    public = _about_endpoints(draft, answers)
    if public:
        draft.stays.append("the EIP of its API server, which may keep costing")
    _about_options(draft)
    draft.unknown += [
        "which volumes there are, and what data is on them",
        "how many load balancers there are, and what runs beside the releases",
    ]
    return draft.impact()


@impact_of("update_cluster")
async def update_cluster(case: Case) -> Impact:
    """Say which pod subnets a cluster would lose or gain, and which of its names change."""
    cluster = (await gather(case, cluster=read("get_cluster", cluster_id=case.cluster_id))).needed("cluster")
    wanted: list[str] | None = case.arguments.get("eni_subnet_ids")
    has = [text(get(each, "/subnetID")) for each in items(cluster, "/spec/eniNetwork/subnets")]
    lost = [each for each in has if wanted is not None and each not in wanted]
    doing = f"Takes {plural(len(lost), 'pod subnet')} away from" if lost else "Changes"
    draft = _draft(case, cluster, f"{doing} cluster {name_of(cluster)}.")
    if wanted is not None:
        _about_subnets(draft, has, lost, wanted)
    for name, pointer in (("alias", "/metadata/alias"), ("description", "/spec/description")):
        if name in case.arguments:
            before, after = get(cluster, pointer), case.arguments[name]
            draft.changes.append(f"{name}: {shown(mask(before)) or 'not set'} becomes {shown(as_supplied(after))}")
            draft.stable[name] = [before, after]
    return draft.impact()


@impact_of("get_cluster_certificate")
async def get_cluster_certificate(case: Case) -> Impact:
    """Say how long a kubeconfig opens a cluster, from where, and for whom."""
    named = {"cluster_id": case.cluster_id}
    reads = {"cluster": read("get_cluster", **named), "endpoints": read("get_cluster_endpoints", **named)}
    answers = await gather(case, **reads)
    cluster, days = answers.needed("cluster"), case.arguments.get("duration_days")
    life = plural(days, "day") if isinstance(days, int) and days > 0 else "as long as the service allows"
    sentence = f"Writes a kubeconfig with a private key for cluster {name_of(cluster)}; valid: {life}."
    draft = _draft(case, cluster, sentence)
    draft.deed, draft.final = f"Hands out a kubeconfig of cluster {name_of(cluster)}.", True
    draft.stable["duration_days"] = days
    draft.fact("valid", life)
    draft.fact("who may use it", "anyone who has the file, until it expires; nothing here can revoke it")
    draft.fact("the file", "has mode 0600, which does not hide it from an agent with a shell of the same user")
    draft.fact("the key", "may do what follows from the rights of this account")
    public = _about_endpoints(draft, answers)
    draft.warnings.insert(0, f"Opens the cluster to whoever has it: {life}, not revocable.")
    if public:
        draft.warnings.append("It works from anywhere: the API server is on the internet.")
    draft.warnings.append("An agent with a shell can read it.")
    draft.unknown.append("what the key may do")
    return draft.impact()


@impact_of("set_cluster_public_access")
async def set_cluster_public_access(case: Case) -> Impact:
    """Say what is exposed to the internet, or cut off from it."""
    named = {"cluster_id": case.cluster_id}
    reads = {"cluster": read("get_cluster", **named), "endpoints": read("get_cluster_endpoints", **named)}
    answers = await gather(case, **reads)
    cluster, binds = answers.needed("cluster"), case.arguments.get("action") == "bind"
    name = name_of(cluster)
    said = f"Exposes the API server of cluster {name} to the internet."
    if not binds:
        said = f"Cuts the API server of cluster {name} off from the internet."
    draft = _draft(case, cluster, said)
    draft.stable["action"] = case.arguments.get("action")
    public = _about_endpoints(draft, answers)
    if binds:
        _about_binding(draft, public)
    elif public is None:
        draft.goes.append("any public address there is; everyone who uses it is cut off")
    elif public:
        draft.goes.append(f"{public}: everyone who uses it is cut off")
        draft.stays.append("the EIP itself, which may keep costing")
    else:
        draft.warnings.append("There is no public address to take away: nothing would change.")
    return draft.impact()


@impact_of("delete_cluster_tags")
async def delete_cluster_tags(case: Case) -> Impact:
    """Say which tags a cluster would lose."""
    cluster = (await gather(case, cluster=read("get_cluster", cluster_id=case.cluster_id))).needed("cluster")
    tags, keys = tags_of(cluster), [text(each) for each in case.arguments.get("keys", [])]
    lost = {key: value for key, value in tags.items() if key in keys}
    what = plural(len(lost), "tag") if lost else "none of its tags"
    draft = _draft(case, cluster, f"Removes {what} from cluster {name_of(cluster)}.")
    draft.goes += [f"tag {pair(key, value)}" for key, value in sorted(lost.items())]
    draft.stays += [f"tag {pair(key, value)}" for key, value in sorted(tags.items()) if key not in lost]
    if absent := sorted({key for key in keys if key not in tags}):
        draft.fact("not there anyway", few([word(key) for key in absent]))
    _about_lost_marks(draft, lost, {key: value for key, value in tags.items() if key not in lost})
    draft.stable["removed"] = lost
    draft.unknown.append("which policies, bills and automation rest on these tags")
    return draft.impact()


@impact_of("add_cluster_tags")
async def add_cluster_tags(case: Case) -> Impact:
    """Say which tags a cluster would gain, and which would get another value."""
    cluster = (await gather(case, cluster=read("get_cluster", cluster_id=case.cluster_id))).needed("cluster")
    tags = tags_of(cluster)
    given = case.arguments.get("tags", {})
    wanted = {text(key): text(value) for key, value in given.items()}
    hidden = {key for key, shown in zip(tags, mask(tags).values(), strict=True) if shown != tags[key]}
    changed = {key: value for key, value in wanted.items() if key in tags and (tags[key] != value or key in hidden)}
    doing = f"Replaces {plural(len(changed), 'tag')}" if changed else f"Sets {plural(len(wanted), 'tag')}"
    draft = _draft(case, cluster, f"{doing} of cluster {name_of(cluster)}.")
    draft.changes += [f"tag {line}" for line in every_line(changes(tags, {**tags, **given}, given))]
    same = sorted(key for key, value in wanted.items() if tags.get(key) == value and key not in hidden)
    draft.stays += [f"tag {pair(key, tags[key])}, as it is" for key in same]
    _about_lost_marks(draft, {key: tags[key] for key in changed}, {**tags, **wanted})
    draft.stable["set"] = wanted
    draft.unknown.append("which policies, bills and automation rest on these tags")
    return draft.impact()


def _draft(case: Case, cluster: Any, sentence: str) -> ImpactDraft:
    draft = ImpactDraft(case, text(get(cluster, "/metadata/name")), sentence)
    about_cluster(draft, cluster)
    return draft


def _about_releases(draft: ImpactDraft, answers: Answers) -> None:
    found = draft.listed(answers, "releases", "", "which releases run in it")
    if found is None:
        return
    names = sorted(f"{text(get(each, '/namespace'))}/{text(get(each, '/name'))}" for each in found)
    _about_many(draft, "release", names)
    draft.stable["releases"] = names


def _about_addons(draft: ImpactDraft, answers: Answers) -> None:
    found = draft.listed(answers, "addons", "/items", "which add-ons it has")
    if found is None:
        return
    names = sorted(text(get(each, "/spec/addonTemplateName")) for each in found)
    _about_many(draft, "add-on", names)
    draft.stable["addons"] = names


def _about_endpoints(draft: ImpactDraft, answers: Answers) -> str | None:
    """Note the addresses of the API server; return the public one, empty if there is none, None if not known."""
    body = draft.answer(answers, "endpoints", "where its API server can be reached")
    if body is None:
        return None
    urls = {kind: text(get(body, f"/status/{kind}Endpoint")) for kind in ("private", "public")}
    draft.fact("API server", ", ".join(f"{kind} {word(url)}" for kind, url in urls.items() if url) or "no address")
    draft.stable["endpoints"] = urls
    return word(urls["public"]) if urls["public"] else ""


def _about_options(draft: ImpactDraft) -> None:
    """Say what the options of a deletion take, and what they leave behind."""
    options = chosen(draft.case.operation, draft.case.arguments)
    draft.stable["options"] = {each.name: each.value for each in options}
    for each in options:
        _about_option(draft, each)


def _about_option(draft: ImpactDraft, option: Chosen) -> None:
    given, fate = f"{option.name}={word(option.value)}", option.fate
    if fate is None:
        draft.unknown.append(f"what {given} takes and leaves")
        draft.warnings.append(f"What {given} takes and leaves is not known.")
        return
    if fate.takes:
        how = _IF_IT_FAILS.get(fate.on_failure, "")
        draft.goes.append(f"{fate.takes} ({given}{': ' + how if how else ''})")
    if fate.leaves:
        draft.stays.append(f"{fate.leaves}, which may keep costing ({given})")
    if fate.data:
        draft.warnings.append(f"Deletes {fate.takes} and the data on them.")


def _about_subnets(draft: ImpactDraft, has: list[str], lost: list[str], wanted: list[str]) -> None:
    new = [each for each in wanted if each not in has]
    draft.goes += [f"pod subnet {word(each)} is removed" for each in lost]
    draft.goes += [f"pod subnet {word(each)} is added" for each in new]
    draft.stays += [f"pod subnet {word(each)}" for each in has if each in wanted]
    if new:
        draft.unknown.append("whether the new subnets are part of the cluster's VPC, and how much room they have")
    draft.stable["subnets"] = {"has": sorted(has), "wanted": sorted(wanted)}
    if not lost:
        draft.fact("pod subnets", "none is removed")
        return
    draft.warnings.append("Pods in a subnet that is removed may lose their network; new ones cannot start there.")
    if len(lost) == len(has):
        draft.warnings.append("None of today's pod subnets stays.")
    draft.unknown.append("which pods use these subnets")


def _about_binding(draft: ImpactDraft, public: str | None) -> None:
    eip = word(draft.case.arguments.get("eip_id", ""))
    draft.fact("EIP", eip)
    draft.goes.append("the API server answers on the internet, not only inside the VPC")
    draft.warnings.append("Anybody on the internet can then try to log in to the API server.")
    if public:
        draft.warnings.append(f"It has a public address already: {public}.")
    draft.unknown.append("the address of the EIP, and to which networks (CIDR blocks) access is limited, if at all")


def _about_lost_marks(draft: ImpactDraft, lost: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Warn when a tag that marks production goes or changes.

    Args:
        draft: to be added to; its name is the cluster's.
        lost: the tags that go or get another value, as they are now.
        after: the tags that there are then.
    """
    sign = sign_of_production(draft.name, after)
    looks = f"still looks like production: {sign}" if sign else "no longer looks like production"
    for key, value in sorted(lost.items()):
        stays_so = key in after and looks_like_production(key, after[key])
        if looks_like_production(key, value) and not stays_so:
            draft.warnings.append(f"Without {pair(key, value)} the cluster {looks}.")


def _about_many(draft: ImpactDraft, noun: str, names: list[str]) -> None:
    if names:
        draft.goes.append(f"{plural(len(names), noun)}: {', '.join(word(name) for name in names)}")
    else:
        draft.fact(f"{noun}s", "none")
