"""Faults in the words of many programs, and those that no event tells of any more."""

from broken import (
    SPACE,
    Json,
    Seen,
    ago,
    crashing,
    deployment,
    ended,
    ingress,
    job,
    log_of,
    pod,
    runs,
    said,
    service,
    thing,
    waits,
)
from diagnosing import Case, alone, healthy, image, in_pod

from ap_mcp.kubernetes.diagnose.model import Thing

UNRESOLVED, LIBRARY = "(a name does not resolve)", "(the image lacks a library that its program needs)"
INTERPRETER = "(its command, or the interpreter that the first line of it names, is not in the image)"
REFUSED = "(what it depends on does not accept its credentials)"
FORBIDDEN, CERTIFICATE = "(the user that it runs as may not do that)", "(a certificate is not accepted)"
MEMORY = "(it needs more memory)"
SPRING = """2026-11-29T12:00:00.000Z ERROR 1 --- [main] o.s.b.d.LoggingFailureAnalysisReporter :

***************************
APPLICATION FAILED TO START
***************************

Description:

Web server failed to start. Port 8080 was already in use.

Action:

Identify and stop the process that's listening on port 8080"""
LOGS: list[tuple[str, str, int, str, str]] = [
    ("nginx finds no host", "nginx: [emerg] host not found in upstream 'db'", 1, "crash", UNRESOLVED),
    ("busybox finds no host", "nc: bad address 'db'", 1, "crash", UNRESOLVED),
    ("a resolver does not answer", ("panic: dial tcp: lookup db on 10.247.3.10:53: read udp 10.0.0.5:3333->"
     "10.247.3.10:53: i/o timeout"), 2, "crash", UNRESOLVED),
    ("Python on Alpine", "socket.gaierror: [Errno -3] Try again", 1, "crash", UNRESOLVED),
    ("Rust", "Error: failed to lookup address information: Name does not resolve", 1, "crash", UNRESOLVED),
    ("MySQL finds no host", "ERROR 2005 (HY000): Unknown MySQL server host 'db' (-2)", 1, "crash", UNRESOLVED),
    ("PostgreSQL refuses", 'psql: error: FATAL:  password authentication failed for user "cart"', 2, "crash", REFUSED),
    ("MySQL refuses", "ERROR 1045 (28000): Access denied for user 'cart'@'10.0.0.5'", 1, "crash", REFUSED),
    ("Redis refuses", "AuthenticationError: NOAUTH Authentication required.", 1, "crash", REFUSED),
    ("a folder of root's", "nginx: [emerg] mkdir() '/var/cache/nginx' failed (13: Permission denied)", 1, "crash",
     FORBIDDEN),
    ("Node may not write", "Error: EACCES: permission denied, mkdir '/data/cache'", 1, "crash", FORBIDDEN),
    ("a private authority", "Error: self-signed certificate in certificate chain", 1, "crash", CERTIFICATE),
    ("Java trusts it not", "Caused by: javax.net.ssl.SSLHandshakeException: PKIX path building failed", 1, "crash",
     CERTIFICATE),
    ("no library", ("/app: error while loading shared libraries: libpq.so.5: cannot open shared object file: "
     "No such file or directory"), 127, "crash", LIBRARY),
    ("an old library", "/app: /lib/libc.so.6: version `GLIBC_2.34' not found (required by /app)", 1, "crash", LIBRARY),
    ("a script with the line ends of Windows", "exec /entrypoint.sh: no such file or directory", 255,
     "command_missing", INTERPRETER),
    ("the same in old words", "standard_init_linux.go:228: exec user process caused: no such file or directory", 1,
     "command_missing", INTERPRETER),
    ("a Java that gets no memory", ("Error occurred during initialization of VM\nCould not reserve enough space for "
     "2097152KB object heap"), 1, "crash", MEMORY),
    ("Go out of memory", "fatal error: runtime: out of memory", 2, "crash", MEMORY),
    ("a module is missing", "Traceback (most recent call last):\nModuleNotFoundError: No module named 'requests'", 1,
     "crash", "No module named 'requests'\""),
    ("Spring finds its port taken", SPRING, 1, "crash", "(two processes of the pod want one port)"),
    ("a database is full", "FATAL:  sorry, too many clients already", 1, "crash", "takes no more connections)"),
    ("no way there", "Error: connect ETIMEDOUT 10.1.2.3:5432", 1, "crash", "(what it depends on cannot be reached)"),
    ("a warning before the end", "WARN connection refused, trying again\nError: port is not a number", 1, "crash",
     'port is not a number"'),
    ("an error before warnings", "Error: port is not a number\nWARN connection refused, trying again", 1, "crash",
     'port is not a number"'),
]  # fmt: skip
HELD = {"deletionTimestamp": ago(60), "finalizers": ["example.com/guard"]}
REFUSES = 'Get "http://10.0.0.5:8080/ok": dial tcp 10.0.0.5:8080: connect: connection refused'
KILLED = [
    ("Unhealthy", f"Liveness probe failed: {REFUSES}"),
    ("Killing", "Container app failed liveness probe, will be restarted"),
]
PROBE: Json = {"livenessProbe": {"httpGet": {"path": "/ok", "port": 8080}}, "ports": [{"containerPort": 8080}]}
UNTRUSTED = (
    'failed to do request: Head "https://swr.example.com/v2/web/cart/manifests/2.1": tls: failed to verify'
    " certificate: x509: certificate signed by unknown authority"
)
SLOW_SIDECAR = runs(name="proxy", ready=False, started=False, restartPolicy="Always",
                    startupProbe={"tcpSocket": {"port": 15021}, "periodSeconds": 1})  # fmt: skip


def cron(schedule: str, last: float | None, **more: object) -> dict[str, object]:
    """Return a CronJob of a schedule that started a Job so many hours ago, or none."""
    began = {} if last is None else {"lastScheduleTime": ago(60 * last)}
    return thing("CronJob", "tick", spec={"schedule": schedule, **more}, status=began, age=60 * 24 * 90)


CASES = [
    *(in_pod(name, fault, crashing(code), says, log=log) for name, log, code, fault, says in LOGS),
    Case(
        "an init container finds no host and goes on",
        "init_runs",
        ("bad address 'db'", UNRESOLVED),
        Seen(
            [
                *deployment(),
                pod(waits("PodInitializing"), init=[runs(ready=False, name="wait")], phase="Pending"),
            ],
            [],
            log_of("waiting for db\nnc: bad address 'db'\nwaiting for db", container="wait", previous=False),
        ),
    ),
    in_pod("starts more slowly than its probe allows", "liveness_probe", crashing(143, lasted=0.9, **PROBE),
           "connection refused", "has 30 s for that: a startupProbe", events=KILLED),
    in_pod("listens no more after a while", "liveness_probe", crashing(143, lasted=90, **PROBE),
           'connection refused".', events=KILLED),
    Case(
        "a sidecar that does not start",
        "startup_probe",
        ("container proxy", "has not started", "port 15021"),
        Seen([*deployment(), pod(waits("PodInitializing"), init=[SLOW_SIDECAR], phase="Pending")]),
    ),
    Case(
        "a sidecar out of memory",
        "memory",
        ("container proxy", "killed for memory"),
        Seen([*deployment(), pod(runs(), crashing(137, "OOMKilled", name="proxy"))]),
    ),
    Case(
        "too much on its own disk",
        "evicted",
        ("exceeded its local ephemeral storage limit",),
        Seen(
            [
                *deployment(),
                pod(
                    phase="Failed",
                    status={
                        "reason": "Evicted",
                        "message": 'Container app exceeded its local ephemeral storage limit "1Gi".',
                        "containerStatuses": [],
                    },
                ),
            ]
        ),
    ),
    image("a registry with a certificate of its own", "image_out_of_reach", "ImagePullBackOff", UNTRUSTED,
          "has a certificate that is not accepted", "unknown authority"),
    alone("a Service that stays", "terminating", {**service(), "metadata": {**service()["metadata"], **HELD}},
          "is being deleted and stays", "whoever runs example.com", beside=healthy()),
    alone("an Ingress that stays", "terminating", {**ingress(), "metadata": {**ingress()["metadata"], **HELD}},
          "is being deleted and stays", beside=[service(), *healthy()]),
    Case(
        "a Job that waits for its pods",
        "pod_terminating",
        ("its finalizers hold it",),
        Seen(
            [
                {**job(), "metadata": {**job()["metadata"], **HELD, "finalizers": ["foregroundDeletion"]}},
                pod(name="close-x", owner=("Job", "close"), labels={"job-name": "close"}, metadata=HELD),
            ]
        ),
        Thing("Job", SPACE, "close"),
        ("Job web/close",),
    ),
    alone("a CronJob without events", "cron_missed", cron("*/5 * * * *", 72), "has started no Job for 3 d"),
    alone("a CronJob that never began", "cron_missed", cron("0 2 * * *", None), "since it was made"),
    alone("a CronJob with a short deadline", "cron_missed", cron("@hourly", 5, startingDeadlineSeconds=5),
          "below 10 a run may be missed"),
]  # fmt: skip
DONE = job(conditions=[said("Complete", "True")])
HEALTHY = {
    "each hour": [cron("5 * * * *", 1.5)],
    "each day": [cron("0 2 * * *", 30)],
    "on weekdays": [cron("0 9 * * 1-5", 24 * 8)],
    "each month": [cron("0 0 31 * *", 24 * 58)],
    "each year": [cron("0 0 29 2 *", None)],
    "by macros": [cron("@yearly", None)],
    "not to be read": [cron("H 2 * * *x y", None)],
    "no schedule": [cron("", None)],
    "one run goes on": [{**cron("* * * * *", 20), "status": {"active": [{"name": "tick-1"}]}}, job("tick-1", active=1)],
    "deletion began": [*healthy(), {**DONE, "metadata": {**DONE["metadata"], **HELD, "deletionTimestamp": ago(0.5)}}],
    "crashed long ago": [*deployment(ready=1), pod(runs(restarts=3, last=ended(1, minutes=600)), ready=True)],
}
