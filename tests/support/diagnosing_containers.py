"""Containers that end, and images that are not obtained."""

from broken import IMAGE, Seen, crashing, deployment, ended, event, log_of, pod, runs, waits
from diagnosing import LIVENESS, NOT_FOUND, OCI, Case, image, in_pod

CASES = [
    # crashes
    in_pod(
        "code 1 with a log",
        "crash",
        crashing(),
        "ends with code 1",
        "9 restarts",
        "cannot open database",
        log="starting\nERROR cannot open database\nexit status 1",
    ),
    in_pod("between two crashes", "crash", runs(ready=False, since=0.2, restarts=4, last=ended(1)), "ends with code 1"),
    in_pod("no such command", "command_missing", crashing(127), "there is no such command"),
    in_pod("not executable", "command_refused", crashing(126), "cannot be executed"),
    in_pod("native crash", "crash", crashing(139), "SIGSEGV"),
    in_pod(
        "ends with success, and should not end",
        "crash",
        crashing(0, "Completed"),
        "without an error",
        "must keep running",
    ),
    in_pod(
        "start error 128",
        "command_missing",
        crashing(128, "StartError", message=f'{OCI}exec: "serve": executable file not found in $PATH: unknown'),
        "no such command",
        "serve",
    ),
    in_pod(
        "run container error",
        "command_refused",
        waits(
            "RunContainerError",
            f'{OCI}exec: "/app.sh": permission denied: unknown',
            restarts=3,
            last=ended(128, "StartError"),
        ),
        "/app.sh",
        "permission denied",
    ),
    in_pod(
        "create container error",
        "not_started",
        waits("CreateContainerError", "context deadline exceeded"),
        "deadline",
    ),
    in_pod(
        "termination message",
        "crash",
        crashing(2, message="config.yaml: line 3: mapping expected"),
        "mapping expected",
    ),
    in_pod("killed from outside", "crash", crashing(137), "code 137", "SIGKILL"),
    Case(
        "an init container crashes",
        "crash",
        ("init container migrate", "relation does not exist"),
        Seen(
            [*deployment(), pod(waits("PodInitializing"), init=[crashing(1, name="migrate")], phase="Pending")],
            [],
            log_of("psql: error: relation does not exist", container="migrate"),
        ),
    ),
    Case(
        "a sidecar crashes",
        "crash",
        ("container proxy",),
        Seen([*deployment(), pod(runs(), init=[crashing(1, name="proxy", restartPolicy="Always")])]),
    ),
    Case(
        "the second container crashes",
        "crash",
        ("container worker",),
        Seen([*deployment(), pod(runs(), crashing(1, name="worker"))]),
    ),
    in_pod(
        "lacks a right inside the cluster",
        "crash",
        crashing(),
        "ServiceAccount lacks a Role",
        log='E1129 list failed: pods is forbidden: User "system:serviceaccount:web:cart" cannot list resource "pods"',
    ),
    Case(
        "a post-start hook fails",
        "hook",
        ("postStart", "curl"),
        Seen(
            [*deployment(), (p := pod(waits("PostStartHookError: command 'curl' exited with 7", restarts=2)))],
            [event(p, "FailedPostStartHook", "PostStartHook failed: curl exited with 7")],
        ),
    ),
    # to 5 images
    image("no such tag", "image_tag", "ImagePullBackOff", NOT_FOUND, "tag 2.1", "does not exist"),
    image(
        "manifest unknown",
        "image_tag",
        "ErrImagePull",
        "manifest for cart:2.1 not found: manifest unknown: manifest unknown",
        "does not exist",
    ),
    image("why only in the status", "image_tag", "ErrImagePull", "", "does not exist", message=NOT_FOUND),
    image(
        "why in a newer back-off",
        "image_tag",
        "ImagePullBackOff",
        "",
        "does not exist",
        message=f'Back-off pulling image "{IMAGE}": ErrImagePull: {NOT_FOUND}',
    ),
    image(
        "unauthorized",
        "image_refused",
        "ImagePullBackOff",
        "failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized",
        "names no imagePullSecrets",
    ),
    image(
        "denied, as Docker Hub says it",
        "image_refused",
        "ErrImagePull",
        "pull access denied for web/cart, repository does not exist or may require authorization: server message:"
        " insufficient_scope: authorization failed",
        "refuses",
    ),
    image(
        "secret gives no right",
        "image_refused",
        "ErrImagePull",
        "unexpected status code 403 Forbidden",
        "Secret team gives no right",
        imagePullSecrets=[{"name": "team"}],
    ),
    image(
        "time-out",
        "image_out_of_reach",
        "ErrImagePull",
        'failed to do request: Head "https://swr.example.com/v2/": dial tcp 1.2.3.4:443: i/o timeout',
        "cannot be reached",
        "SNAT",
    ),
    image(
        "token server out of reach",
        "image_out_of_reach",
        "ErrImagePull",
        'failed to authorize: failed to fetch anonymous token: Get "https://auth.example.com/token": dial tcp: lookup'
        " auth.example.com: no such host",
        "cannot be reached",
    ),
    image(
        "another processor",
        "image_platform",
        "ErrImagePull",
        "no match for platform in manifest: not found",
        "not built for the processor",
    ),
    in_pod(
        "exec format error in the log",
        "image_platform",
        crashing(1),
        "another processor",
        log="exec /app: exec format error",
    ),
    image(
        "rate limit",
        "image_limited",
        "ErrImagePull",
        "429 Too Many Requests - toomanyrequests: You have reached your pull rate limit",
        "no more pulls",
    ),
    image(
        "invalid name",
        "image_name",
        "InvalidImageName",
        "",
        "not a valid name",
        message='Failed to apply default image tag "Cart:x": invalid reference format',
    ),
    image("never pulled", "image_never_pulled", "ErrImageNeverPull", "", "imagePullPolicy is Never"),
    image(
        "cannot be inspected",
        "image",
        "ImageInspectError",
        "",
        "corrupt",
        message="Failed to inspect image: corrupt layer",
    ),
    Case(
        "image of an init container",
        "image_tag",
        ("init container migrate",),
        Seen(
            [
                *deployment(),
                pod(
                    waits("PodInitializing"),
                    init=[waits("ImagePullBackOff", NOT_FOUND, name="migrate")],
                    phase="Pending",
                ),
            ]
        ),
    ),
    # memory
    in_pod(
        "out of memory",
        "memory",
        crashing(137, "OOMKilled", resources={"limits": {"memory": "256Mi"}}),
        "killed for memory 9 times",
        "256Mi",
    ),
    in_pod(
        "out of memory, and runs again",
        "memory",
        runs(restarts=2, last=ended(137, "OOMKilled", minutes=5)),
        "killed for memory",
        ready=True,
    ),
    in_pod("memory goes before the probe", "memory", crashing(137, "OOMKilled"), "killed for memory", events=LIVENESS),
]
