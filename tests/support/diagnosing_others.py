"""Configuration, what is refused, Jobs, autoscalers, and what lies below all workloads."""

from broken import (
    CART,
    SPACE,
    Seen,
    ago,
    autoscaler,
    claim,
    crashing,
    deployment,
    ended,
    event,
    job,
    log_of,
    over,
    pod,
    runs,
    said,
    thing,
    waits,
)
from diagnosing import (
    LIVENESS,
    NO_METRICS,
    NOT_FOUND,
    OCI,
    SUSPENDED,
    Case,
    alone,
    dns,
    failed_job,
    healthy,
    image,
    in_pod,
    job_pod,
    refused,
)

from ap_mcp.kubernetes.diagnose.model import Thing
from ap_mcp.kubernetes.diagnose.rules_containers import DNS

CASES = [
    # configuration
    in_pod(
        "no secret",
        "config_missing",
        waits("CreateContainerConfigError", 'secret "smtp" not found'),
        "Secret smtp",
        "web",
        phase="Pending",
    ),
    in_pod(
        "no config map",
        "config_missing",
        waits("CreateContainerConfigError", 'configmap "settings" not found'),
        "ConfigMap settings",
        phase="Pending",
    ),
    in_pod(
        "no key",
        "config_missing",
        waits("CreateContainerConfigError", "couldn't find key PORT in ConfigMap web/settings"),
        "key PORT",
        "ConfigMap settings",
        phase="Pending",
    ),
    in_pod(
        "runs as root",
        "runs_as_root",
        waits("CreateContainerConfigError", "container has runAsNonRoot and image will run as root (pod: ...)"),
        "runAsNonRoot",
        phase="Pending",
    ),
    Case(
        "an init container lacks a secret",
        "config_missing",
        ("init container migrate", "Secret db"),
        Seen(
            [
                *deployment(),
                pod(
                    waits("PodInitializing"),
                    init=[waits("CreateContainerConfigError", 'secret "db" not found', name="migrate")],
                    phase="Pending",
                ),
            ]
        ),
    ),
    # and 17 refused
    refused(
        "quota",
        "quota",
        'pods "cart-x" is forbidden: exceeded quota: team, requested: limits.memory=1Gi,pods=1, used:'
        " limits.memory=8Gi,pods=3, limited: limits.memory=8Gi,pods=40",
        "ResourceQuota team",
        "limits.memory 8Gi of 8Gi used",
    ),
    refused(
        "quota wants limits",
        "quota_unset",
        'pods "cart-x" is forbidden: failed quota: team: must specify limits.cpu for: app; limits.memory for: app',
        "ResourceQuota team",
        "limits.cpu",
    ),
    refused(
        "limit range",
        "limit_range",
        'pods "cart-x" is forbidden: [maximum memory usage per Container is 1Gi, but limit is 2Gi, maximum cpu usage'
        " per Pod is 1, but limit is 2]",
        "LimitRange",
        "maximum memory usage per Container is 1Gi",
    ),
    refused(
        "pod security",
        "pod_security",
        'pods "cart-x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
        ' (container "app" must set securityContext.allowPrivilegeEscalation=false)',
        "pod security standard",
        "allowPrivilegeEscalation",
    ),
    refused(
        "webhook says no",
        "webhook_denied",
        'admission webhook "policy.example.com" denied the request: label team is missing',
        "policy.example.com",
        "label team is missing",
    ),
    refused(
        "webhook is down",
        "webhook_down",
        'Internal error occurred: failed calling webhook "policy.example.com": failed to call webhook: Post'
        ' "https://policy.gate.svc:443/check?timeout=10s": no endpoints available for service "policy"',
        "policy.example.com",
        "no endpoints",
    ),
    refused(
        "beyond Autopilot",
        "autopilot_limits",
        'admission webhook "check.cce.io" denied the request: hostNetwork is not allowed',
        "allows no hostNetwork",
        template={"hostNetwork": True},
    ),
    refused(
        "no service account",
        "service_account",
        'pods "cart-x" is forbidden: error looking up service account web/robot: serviceaccount "robot" not found',
        "ServiceAccount robot",
    ),
    refused(
        "no priority class",
        "class_missing",
        'pods "cart-x" is forbidden: no PriorityClass with name high was found',
        "PriorityClass high",
    ),
    refused(
        "another reason",
        "refused",
        'Pod "cart-x" is invalid: spec.containers[0].image: Required value',
        "Required value",
    ),
    Case(
        "a StatefulSet has only the event",
        "quota",
        ("ResourceQuota q",),
        Seen(
            [s := thing("StatefulSet", "db", spec={"replicas": 1}, status={"replicas": 0})],
            [
                event(
                    s,
                    "FailedCreate",
                    'create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: exceeded quota: q,'
                    " requested: pods=1, used: pods=2, limited: pods=2",
                )
            ],
        ),
        Thing("StatefulSet", SPACE, "db"),
    ),
    # jobs
    failed_job(
        "gave up",
        "BackoffLimitExceeded",
        "failed 4 times",
        "code 2",
        "certificate has expired",
        pods=[job_pod(over(ended(2), name="job"))],
        log="connect\nerror: certificate has expired",
    ),
    failed_job("ran too long", "DeadlineExceeded", "ran longer", pods=[]),
    failed_job(
        "its policy",
        "PodFailurePolicy",
        "podFailurePolicy",
        "exit code 42",
        message="Container job for pod web/close failed with exit code 42 matching FailJob rule",
    ),
    failed_job("its pods are gone", "BackoffLimitExceeded", "its pods are gone"),
    failed_job(
        "memory",
        "BackoffLimitExceeded",
        "killed for memory",
        pods=[job_pod(over(ended(137, "OOMKilled"), name="job"))],
    ),
    alone("tries again", "job_failing", job(failed=2, active=1), "failed 2 times so far"),
    alone("a suspended job", "job_suspended", {**job(), "spec": {"suspend": True}}, "is suspended"),
    alone("a suspended cron job", "cron_suspended", SUSPENDED, "is suspended"),
    alone(
        "missed too often",
        "cron_missed",
        thing("CronJob", "nightly", spec={"schedule": "* * * * *"}),
        "too many missed",
        events=[
            (
                "TooManyMissedTimes",
                "too many missed start times: 101. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
            )
        ],
    ),
    alone(
        "the run before still goes on",
        "cron_blocked",
        thing("CronJob", "nightly", spec={"concurrencyPolicy": "Forbid"}, status={"active": [{"name": "close"}]}),
        "Job web/close",
        "Forbid",
        events=[
            (
                "JobAlreadyActive",
                "Not starting job because prior execution is running and concurrency policy is Forbid",
            )
        ],
        beside=[job(active=1)],
        type_="Normal",
    ),
    alone(
        "an unreadable schedule",
        "cron_schedule",
        thing("CronJob", "nightly"),
        "cannot be read",
        events=[("UnparseableSchedule", "unparseable schedule: 99 * * * *")],
    ),
    Case(
        "a job that never starts",
        "image_tag",
        ("does not exist",),
        Seen(
            [
                job(active=1),
                pod(
                    waits("ImagePullBackOff", NOT_FOUND, name="job"),
                    name="close-1",
                    owner=("Job", "close"),
                    phase="Pending",
                ),
            ]
        ),
        Thing("Job", SPACE, "close"),
    ),
    # autoscalers
    alone(
        "no metrics API",
        "no_metrics",
        autoscaler(
            said(
                "ScalingActive",
                "False",
                "FailedGetResourceMetric",
                f"{NO_METRICS}unable to fetch metrics from resource metrics API: the server could not find the"
                " requested resource (get pods.metrics.k8s.io)",
            )
        ),
        "serves no metrics.k8s.io",
        "metrics-server",
    ),
    alone(
        "metrics API down",
        "no_metrics",
        autoscaler(
            said(
                "ScalingActive",
                "False",
                "FailedGetResourceMetric",
                f"{NO_METRICS}unable to fetch metrics from resource metrics API: the server is currently unable to"
                " handle the request (get pods.metrics.k8s.io)",
            )
        ),
        "does not answer",
    ),
    alone(
        "no request",
        "autoscaler_requests",
        autoscaler(
            said(
                "ScalingActive",
                "False",
                "FailedGetResourceMetric",
                "failed to get cpu utilization: missing request for cpu in container app of Pod cart-1",
            )
        ),
        "request no cpu",
    ),
    alone(
        "no target",
        "autoscaler_target",
        autoscaler(said("AbleToScale", "False", "FailedGetScale", 'deployments/scale.apps "cart" not found')),
        "does not exist",
    ),
    alone(
        "at its end",
        "autoscaler_limit",
        autoscaler(
            said("ScalingActive", "True"),
            said(
                "ScalingLimited",
                "True",
                "TooManyReplicas",
                "the desired replica count is more than the maximum replica count",
            ),
            most=5,
            now=5,
        ),
        "maxReplicas=5",
    ),
    # below all
    alone(
        "a node is lost",
        "node",
        {
            "kind": "Node",
            "metadata": {"name": "node-1"},
            "status": {
                "conditions": [said("Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")]
            },
        },
        "not ready",
        "Kubelet stopped",
    ),
    alone(
        "a node is short of memory",
        "node",
        {
            "kind": "Node",
            "metadata": {"name": "node-1"},
            "status": {"conditions": [said("Ready", "True"), said("MemoryPressure", "True")]},
        },
        "MemoryPressure",
    ),
    Case(
        "evicted",
        "evicted",
        ("was evicted", "ephemeral"),
        Seen(
            [
                *deployment(),
                pod(
                    phase="Failed",
                    conditions=[],
                    status={
                        "reason": "Evicted",
                        "message": "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi.",
                        "containerStatuses": [],
                    },
                ),
            ]
        ),
    ),
    alone(
        "nothing may be evicted",
        "disruption_budget",
        thing(
            "PodDisruptionBudget",
            "cart",
            spec={"minAvailable": 1, "selector": {"matchLabels": {"app": "cart"}}},
            status={"disruptionsAllowed": 0, "expectedPods": 1, "currentHealthy": 1, "desiredHealthy": 1},
        ),
        "never allows an eviction",
        beside=healthy(),
    ),
    alone(
        "a namespace that stays",
        "namespace",
        {
            "kind": "Namespace",
            "metadata": {"name": "old", "deletionTimestamp": ago(30)},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {
                "phase": "Terminating",
                "conditions": [
                    said(
                        "NamespaceFinalizersRemaining",
                        "True",
                        "SomeFinalizersRemain",
                        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource"
                        " instances",
                    )
                ],
            },
        },
        "example.com/hold",
    ),
    Case(
        "a pod that stays",
        "pod_terminating",
        ("example.com/hold",),
        Seen(
            [
                *deployment(ready=1),
                pod(runs(), ready=True, metadata={"deletionTimestamp": ago(10), "finalizers": ["example.com/hold"]}),
            ]
        ),
    ),
    Case(
        "a rollout that is paused",
        "rollout_paused",
        ("0 of 1 pod updated",),
        Seen([*deployment(ready=1, paused=True, status={"updatedReplicas": 0}), pod(ready=True)]),
    ),
    Case(
        "a rollout that does not end",
        "rollout_stuck",
        ("does not end",),
        Seen(
            [
                *deployment(
                    ready=1, conditions=[said("Progressing", "False", "ProgressDeadlineExceeded", "timed out")]
                ),
                pod(ready=True),
            ]
        ),
    ),
    image(
        "no room to unpack",
        "image_space",
        "ErrImagePull",
        "failed to extract layer: write /var/lib: no space left on device",
        "no room",
    ),
    image(
        "signature",
        "image_signature",
        "SignatureValidationFailed",
        "",
        "signature",
        message="image signature is not valid",
    ),
    in_pod(
        "a sub-path",
        "config",
        waits("CreateContainerConfigError", "failed to prepare subPath for volumeMount conf"),
        "subPath",
        phase="Pending",
    ),
    Case(
        "names resolve nowhere",
        "dns_down",
        ("names resolve nowhere",),
        Seen([dns(0), *deployment(), pod(crashing())], [], log_of("dial tcp: lookup db: no such host")),
        DNS,
        ("Deployment web/cart",),
    ),
    Case("names resolve, with less in reserve", "dns", ("less in reserve",), Seen([dns(1)]), DNS),
    Case("its node is lost", "node_lost", ("node-1 does not report",), Seen([*deployment(), pod(phase="Unknown")])),
    Case(
        "its node takes no more",
        "ended_by_node",
        ("OutOfcpu",),
        Seen(
            [
                *deployment(),
                pod(
                    phase="Failed",
                    conditions=[],
                    status={"reason": "OutOfcpu", "message": "Node didn't have enough resource: cpu"},
                ),
            ]
        ),
    ),
    Case(
        "out of time",
        "out_of_time",
        ("activeDeadlineSeconds",),
        Seen(
            [
                *deployment(),
                pod(
                    phase="Failed",
                    conditions=[],
                    status={
                        "reason": "DeadlineExceeded",
                        "message": "Pod was active on the node longer than the specified deadline",
                    },
                ),
            ]
        ),
    ),
    alone(
        "not made larger",
        "claim_resize",
        {**claim(phase="Bound"), "status": {"phase": "Bound", "conditions": [said("Resizing", "True")]}},
        "cannot be made larger",
        "limit of size",
        events=[("VolumeResizeFailed", "resize failed: limit of size")],
    ),
    alone(
        "a claim that stays",
        "claim_terminating",
        claim(phase="Bound", deletionTimestamp=ago(10), finalizers=["kubernetes.io/pvc-protection"]),
        "kubernetes.io/pvc-protection",
    ),
    alone(
        "a custom metric",
        "autoscaler_metrics",
        autoscaler(
            said(
                "ScalingActive",
                "False",
                "FailedGetPodsMetric",
                "unable to get metric requests: no custom metrics API (custom.metrics.k8s.io) registered",
            )
        ),
        "custom",
    ),
    Case(
        "scaled to zero",
        "scaled_to_zero",
        ("scaled to 0",),
        Seen([*deployment(replicas=0, status={"replicas": 0})], more={"named": CART}),
    ),
    Case(
        "no pod and no reason",
        "no_pods",
        ("none of the 2 pods",),
        Seen(deployment(replicas=2, status={"replicas": 0})),
    ),
    alone("a DaemonSet", "no_pods", thing("DaemonSet", "agent", status={"desiredNumberScheduled": 0}), "Autopilot"),
    Case(
        "an init container waits",
        "init_runs",
        ("init container wait", "redis is not there"),
        Seen(
            [
                *deployment(),
                pod(waits("PodInitializing"), init=[runs(name="wait", ready=False, since=20)], phase="Pending"),
            ],
            [],
            log_of("waiting\nredis is not there", container="wait", previous=False),
        ),
    ),
    Case(
        "its node is lost, and it seems to run",
        "node",
        ("Kubelet stopped",),
        Seen(
            [
                *deployment(),
                pod(runs()),
                {
                    "kind": "Node",
                    "metadata": {"name": "node-1"},
                    "status": {
                        "conditions": [
                            said("Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
                        ]
                    },
                },
            ]
        ),
        Thing("Node", "", "node-1"),
        ("Deployment web/cart",),
    ),
    Case(
        "names resolve nowhere, for nothing serves them",
        "dns_down",
        ("names resolve nowhere",),
        Seen([dns(0, wanted=0)]),
        DNS,
    ),
    in_pod(
        "killed by its probe, not ready again",
        "liveness_probe",
        runs(ready=False, restarts=2, since=0.2, last=ended(0, "Completed")),
        "own liveness probe",
        events=LIVENESS,
    ),
    in_pod(
        "a hook, between two starts",
        "hook",
        crashing(137),
        "postStart",
        events=[("FailedPostStartHook", "PostStartHook failed: curl exited with 7")],
    ),
    in_pod(
        "a file is mounted over a folder",
        "not_started",
        waits(
            "RunContainerError",
            f'{OCI}error during container init: error mounting "/a" to rootfs at "/etc/x": not a directory',
            restarts=2,
        ),
        "a volume does not fit",
    ),
    image(
        "pull secret that is not there",
        "image_refused",
        "ErrImagePull",
        "unexpected status: 401 Unauthorized",
        "Secret team gives no right",
        imagePullSecrets=[{"name": "team"}],
    ),
    Case(
        "a job that crashes and is tried again",
        "crash",
        ("code 1",),
        Seen([job(failed=2, active=1), pod(crashing(name="job"), name="close-1", owner=("Job", "close"))]),
        Thing("Job", SPACE, "close"),
        ("Job web/close",),
    ),
    Case(
        "its claims are refused by a quota",
        "quota",
        ("requests.storage 10Gi of 10Gi",),
        Seen(
            [s2 := thing("StatefulSet", "db", spec={"replicas": 1}, status={"replicas": 0})],
            [
                event(
                    s2,
                    "FailedCreate",
                    "create Claim data-db-0 for Pod db-0 in StatefulSet db failed error: persistentvolumeclaims"
                    ' "data-db-0" is forbidden: exceeded quota: q, requested: requests.storage=5Gi, used:'
                    " requests.storage=10Gi, limited: requests.storage=10Gi",
                )
            ],
        ),
        Thing("StatefulSet", SPACE, "db"),
    ),
    Case(
        "nothing says why",
        "not_ready",
        ("ContainerCreating", "nothing says why"),
        Seen([*deployment(), pod(waits("ContainerCreating"), phase="Pending")]),
    ),
]
