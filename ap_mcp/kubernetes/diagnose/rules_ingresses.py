"""Ingresses that lead nowhere: a Service, port, class or Secret that there is not, no load balancer."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ap_mcp.kubernetes.diagnose.evidence import Evidence
from ap_mcp.kubernetes.diagnose.model import Finding, Thing, thing_of
from ap_mcp.kubernetes.events import event_text, event_time
from ap_mcp.vendor import get, items, moment, quoted, text, word
from ap_mcp.wording import few

BY_ANNOTATION = "/metadata/annotations/kubernetes.io~1ingress.class"
DEFAULT = "/metadata/annotations/ingressclass.kubernetes.io~1is-default-class"
OF_CCE = "cce"
"""The class that the cloud's own controller serves; no object need define it."""
SLOW = timedelta(minutes=2)


def dead_ingresses(evidence: Evidence) -> Iterator[Finding]:
    """Find Ingresses that lead nowhere."""
    for ingress in evidence.of("Ingress"):
        thing = thing_of(ingress, "Ingress")
        yield from _backends(evidence, ingress, thing)
        yield from _secrets(evidence, ingress, thing)
        if not items(ingress, "/status/loadBalancer/ingress"):
            yield from _unserved(evidence, ingress, thing)


def secrets_of(ingress: Any) -> list[str]:
    """Return the names of the Secrets that an Ingress takes its certificates from."""
    return [name for each in items(ingress, "/spec/tls") if (name := text(get(each, "/secretName")))]


def _backends(evidence: Evidence, ingress: Any, thing: Thing) -> Iterator[Finding]:
    wanted: dict[tuple[str, str], str] = {}
    backends = [("by default", get(ingress, "/spec/defaultBackend"))]
    for rule in items(ingress, "/spec/rules"):
        for path in items(rule, "/http/paths"):
            route = f"{text(get(rule, '/host'))}{text(get(path, '/path')) or '/'}"
            backends.append((f"for {word(route)}", get(path, "/backend")))
    for route, backend in backends:
        if name := text(get(backend, "/service/name")):
            port = get(backend, "/service/port/name") or get(backend, "/service/port/number")
            wanted.setdefault((name, text(port)), route)
    for (name, port), route in wanted.items():
        service = Thing("Service", thing.namespace, name)
        facts = (f"spec: backend {route}: service {word(name)}, port {word(port or 'none')}",)
        lister = evidence.call("k8s_list", "shows the Services there are", kind="service", namespace=thing.namespace)
        if evidence.lacks(service):
            what = f"leads nowhere {route}: Service {word(name)} does not exist"
            yield Finding("ingress_backend", thing, what, facts, next=(lister,), part=f"{name} {port}")
            continue
        there = items(evidence.find(service), "/spec/ports")
        known = {text(get(each, key)) for each in there for key in ("/name", "/port")} - {""}
        if there and port and port not in known:
            ports = few([word(get(each, "/port")) for each in there])
            what = f"leads nowhere {route}: Service {word(name)} has no port {word(port)}; it has {ports}"
            calls = (evidence.show(thing, "shows its rules; k8s_patch corrects the port"),)
            yield Finding("ingress_port", thing, what, facts, next=calls, part=f"{name} {port}")
        else:
            yield Finding(
                "ingress_follows",
                thing,
                f"leads to {service} {route}",
                facts,
                after=frozenset({service}),
                part=f"{name} {port}",
            )


def _secrets(evidence: Evidence, ingress: Any, thing: Thing) -> Iterator[Finding]:
    for name in dict.fromkeys(secrets_of(ingress)):
        if evidence.lacks(Thing("Secret", thing.namespace, name)):
            what = f"has no certificate: Secret {word(name)} does not exist in {word(thing.namespace)}"
            calls = (
                evidence.call(
                    "k8s_list",
                    "shows the certificates there are",
                    kind="secret",
                    namespace=thing.namespace,
                    field_selector="type=kubernetes.io/tls",
                ),
            )
            yield Finding(
                "ingress_secret", thing, what, (f"spec.tls: secretName={word(name)}",), "warning", next=calls, part=name
            )


def _unserved(evidence: Evidence, ingress: Any, thing: Thing) -> Iterator[Finding]:
    wanted = text(get(ingress, "/spec/ingressClassName")) or text(get(ingress, BY_ANNOTATION))
    events = [each for each in evidence.events_of(ingress, "Ingress") if text(get(each, "/type")) == "Warning"]
    there = sorted(word(thing_of(each).name) for each in evidence.of("IngressClass"))
    known = f"; there {'is' if len(there) == 1 else 'are'} {few(there)}" if there else "; there is none"
    lister = evidence.call("k8s_list", "shows the classes there are", kind="ingressclass")
    if wanted and wanted != OF_CCE and evidence.lacks(Thing("IngressClass", "", wanted)):
        what = f"is not served: its class {word(wanted)} does not exist{known}"
        yield Finding("ingress_class", thing, what, (f"spec.ingressClassName={word(wanted)}",), next=(lister,))
    elif events:
        what = f"has no address: {quoted(event_text(events[0]))}"
        calls = (evidence.show(thing, "shows its annotations"),)
        yield Finding(
            "ingress_controller",
            thing,
            what,
            ("status.loadBalancer: empty", evidence.event(events[0])),
            "critical",
            event_time(events[-1]),
            (),
            calls,
        )
    elif (
        not wanted
        and evidence.is_whole("IngressClass")
        and not any(text(get(each, DEFAULT)) == "true" for each in evidence.of("IngressClass"))
    ):
        what = f"is not served: it names no class, and none is the default{known}"
        yield Finding("ingress_class", thing, what, ("spec.ingressClassName: not set",), next=(lister,))
    elif evidence.age_of(ingress) >= SLOW:
        what = "has no address yet, and no event says why: perhaps no controller serves its class"
        began = moment(get(ingress, "/metadata/creationTimestamp"))
        yield Finding(
            "ingress_controller",
            thing,
            what,
            (f"status.loadBalancer: empty, class {word(wanted or 'none')}",),
            "warning",
            began,
            (),
            (lister,),
        )
