"""Probes, Services and Ingresses."""

from broken import CART, SPACE, Seen, crashing, deployment, ended, ingress, pod, runs, said, service
from diagnosing import LIVENESS, Case, alone, healthy, in_pod, probing, refused

from ap_mcp.kubernetes.diagnose.model import Thing

CASES = [
    # readiness
    probing(
        "the wrong port",
        "probe_port",
        'Get "http://10.0.0.3:8081/ok": dial tcp 10.0.0.3:8081: connect: connection refused',
        "asks port 8081",
        "declares 8080",
        probe={"httpGet": {"path": "/ok", "port": 8081}},
    ),
    probing(
        "a name that no port has",
        "probe_port",
        'strconv.Atoi: parsing "web": invalid syntax',
        "port web",
        "http",
        probe={"httpGet": {"path": "/", "port": "web"}},
        ports=(("http", 8080),),
    ),
    probing(
        "nothing listens",
        "readiness_probe",
        "dial tcp 10.0.0.3:8080: connect: connection refused",
        "nothing listens on port 8080",
    ),
    probing("status 503", "readiness_probe", "HTTP probe failed with statuscode: 503", "status 503", "/ok"),
    probing(
        "no answer in time",
        "readiness_probe",
        'Get "http://10.0.0.3:8080/ok": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
        "not answered within 1 s",
    ),
    probing(
        "a command",
        "readiness_probe",
        "cat: /var/ready: No such file or directory",
        "cat /var/ready",
        "No such file",
        probe={"exec": {"command": ["cat", "/var/ready"]}},
    ),
    probing(
        "gRPC",
        "readiness_probe",
        'service unhealthy (responded with "NOT_SERVING")',
        "NOT_SERVING",
        "gRPC",
        probe={"grpc": {"port": 8080}},
    ),
    probing(
        "startup",
        "startup_probe",
        "HTTP probe failed with statuscode: 404",
        "startup probe",
        "404",
        kind="startup",
        started=False,
    ),
    probing(
        "the log says why",
        "readiness_probe",
        "HTTP probe failed with statuscode: 503",
        "cache unreachable",
        log="INFO up\nERROR cache unreachable",
    ),
    Case(
        "a readiness gate",
        "readiness_gate",
        ("elb.example.com/ready",),
        Seen(
            [
                *deployment(),
                pod(
                    runs(),
                    conditions=[
                        said("PodScheduled", "True"),
                        said("Ready", "False", "ReadinessGatesNotReady", "corresponding condition does not exist"),
                    ],
                    readinessGates=[{"conditionType": "elb.example.com/ready"}],
                ),
            ]
        ),
    ),
    # liveness
    in_pod(
        "killed by its probe",
        "liveness_probe",
        crashing(137),
        "own liveness probe",
        "statuscode: 500",
        events=LIVENESS,
    ),
    in_pod(
        "killed by a probe that asks the wrong port",
        "liveness_probe",
        crashing(137, ports=[{"containerPort": 8080}], livenessProbe={"tcpSocket": {"port": 9090}}),
        "own liveness probe",
        "it asks port 9090, the container declares 8080",
        events=[
            ("Killing", LIVENESS[0][1]),
            ("Unhealthy", "Liveness probe failed: dial tcp 10.0.0.3:9090: connect: connection refused"),
        ],
    ),
    in_pod(
        "ends by itself when asked",
        "liveness_probe",
        runs(restarts=6, last=ended(0, "Completed", minutes=3)),
        "own liveness probe",
        events=LIVENESS,
        ready=True,
    ),
    in_pod(
        "killed by its startup probe",
        "startup_probe",
        crashing(137),
        "own startup probe",
        events=[("Killing", "Container app failed startup probe, will be restarted")],
    ),
    # services
    alone(
        "selects nothing",
        "selector",
        service(selector={"app": "cart", "version": "v2"}),
        "has version=v2",
        "1 pod has app=cart",
        beside=healthy(),
    ),
    alone(
        "no port of that name",
        "target_port",
        service(target="web"),
        "targetPort web",
        "http",
        beside=healthy([{"name": "http", "containerPort": 8080}]),
    ),
    alone("no port of that number", "target_port", service(target=9090), "targetPort 9090", "8080", beside=healthy()),
    alone(
        "no load balancer",
        "load_balancer",
        service(type="LoadBalancer"),
        "quota of load balancers",
        events=[("SyncLoadBalancerFailed", "Error syncing load balancer: quota of load balancers")],
        beside=healthy(),
    ),
    Case(
        "its pods crash",
        "crash",
        ("code 1",),
        Seen([*deployment(), pod(crashing()), service()]),
        CART,
        ("Service web/cart",),
    ),
    Case(
        "its workload is refused",
        "quota",
        ("Quota q",),
        Seen(
            [
                *refused(
                    "",
                    "",
                    'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2',
                ).seen.objects,
                service(),
            ]
        ),
        CART,
        ("Service web/cart",),
    ),
    # ingresses
    alone(
        "no such service",
        "ingress_backend",
        ingress(service_name="basket"),
        "Service basket does not exist",
        beside=[service(), *healthy()],
    ),
    alone("no such port", "ingress_port", ingress(port=8443), "no port 8443", "80", beside=[service(), *healthy()]),
    alone(
        "no such class",
        "ingress_class",
        ingress(cls="nginx", address=False),
        "class nginx does not exist",
        beside=[service(), *healthy()],
    ),
    alone(
        "its controller says no",
        "ingress_controller",
        ingress(address=False),
        "listener conflict",
        events=[("CreateIngressFailed", "listener conflict on port 443")],
        beside=[service(), *healthy()],
    ),
    Case(
        "its service leads nowhere",
        "selector",
        ("selects",),
        Seen([service(selector={"app": "x"}), ingress(), *healthy()]),
        Thing("Service", SPACE, "cart"),
        ("Ingress web/front",),
    ),
]
