"""Pods without an address, a node or a volume."""

from broken import SPACE, Seen, claim, deployment, pod, storage_class, unplaced
from diagnosing import GONE, Case, alone, mounting, network, unscheduled

from ap_mcp.kubernetes.diagnose.model import Thing

CASES = [
    # addresses
    network(
        "no address left",
        "no_address",
        "failed to setup network for sandbox: failed to allocate ip: subnet 4c8b7e92-1f60-4a3d-9b25-e07c3d81fa21 has"
        " no free IP address",
        "4c8b7e92-1f60-4a3d-9b25-e07c3d81fa21",
    ),
    network(
        "addresses exhausted",
        "no_address",
        'plugin type="eni" failed (add): IP addresses exhausted in subnet',
        "IP address",
    ),
    network("insufficient ENI quota", "no_address", "allocate eni failed: insufficient sub-eni in pool", "IP address"),
    network(
        "network not set up for another reason",
        "sandbox",
        'plugin failed (add): Get "https://10.247.0.1:443": dial tcp 10.247.0.1:443: connect: connection refused',
        "connection refused",
    ),
    # scheduling
    unscheduled(
        "no room",
        "no_room",
        f"{GONE}1 Insufficient cpu, 2 Insufficient memory. preemption: 0/3 nodes are available: 3 No preemption"
        " victims found.",
        "not enough cpu",
        "not enough memory",
    ),
    unscheduled(
        "several kinds at once",
        "unschedulable",
        GONE + "1 node(s) had untolerated taint {dedicated: gpu}, 2 node(s) didn't match Pod's node affinity/selector.",
        "taint",
        "dedicated: gpu",
        "nodeSelector",
    ),
    unscheduled(
        "old words of a taint",
        "unschedulable",
        GONE + "3 node(s) had taint {node.kubernetes.io/unreachable: }, that the pod didn't tolerate.",
        "taint",
    ),
    unscheduled("too many pods", "no_room", f"{GONE}3 Too many pods.", "limit of pods"),
    unscheduled(
        "anti-affinity", "unschedulable", GONE + "3 node(s) didn't match pod anti-affinity rules.", "anti-affinity"
    ),
    unscheduled(
        "spread",
        "unschedulable",
        GONE + "3 node(s) didn't match pod topology spread constraints (missing required label).",
        "topologySpread",
    ),
    unscheduled("zone of a volume", "unschedulable", GONE + "3 node(s) had volume node affinity conflict.", "zone"),
    unscheduled("words of another scheduler", "unschedulable", "vCPU quota of the project is used up", "vCPU quota"),
    unscheduled(
        "claim that does not exist",
        "claim_missing",
        GONE + 'persistentvolumeclaim "data" not found. preemption: none',
        "claim data does not exist",
    ),
    Case(
        "held by a gate",
        "gated",
        ("example.com/wait",),
        Seen(
            [
                *deployment(),
                unplaced(
                    "Scheduling is blocked due to non-empty scheduling gates",
                    "SchedulingGated",
                    schedulingGates=[{"name": "example.com/wait"}],
                ),
            ]
        ),
    ),
    Case(
        "a scheduler that there is not",
        "unschedulable",
        ("my-scheduler",),
        Seen(
            [
                *deployment(),
                pod(phase="Pending", conditions=[], schedulerName="my-scheduler", nodeName=""),
            ]
        ),
    ),
    # claims
    alone(
        "no such class", "storage_class", claim(cls="fast"), "StorageClass fast", "csi-disk", beside=[storage_class()]
    ),
    alone(
        "no such class, by the event",
        "storage_class",
        claim(cls="fast"),
        "StorageClass fast",
        events=[("ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found')],
    ),
    alone("no class and no default", "storage_class", claim(cls=None), "none is the default", beside=[storage_class()]),
    alone(
        "nothing is bound",
        "claim_pending",
        claim(),
        "no persistent volumes",
        events=[("FailedBinding", "no persistent volumes available for this claim and no storage class is set")],
        beside=[storage_class()],
        type_="Normal",
    ),
    alone(
        "provisioner fails",
        "claim_pending",
        claim(),
        "quota of disks",
        events=[("ProvisioningFailed", "failed to provision volume: quota of disks is used up")],
        beside=[storage_class()],
    ),
    alone(
        "nobody provides",
        "claim_pending",
        claim(),
        "external",
        events=[("ExternalProvisioning", "Waiting for a volume to be created by the external provisioner")],
        beside=[storage_class()],
        type_="Normal",
    ),
    alone("lost", "claim_lost", claim(phase="Lost"), "no longer exists"),
    Case(
        "the pod waits for the claim",
        "storage_class",
        ("StorageClass fast",),
        Seen(
            [
                *deployment(),
                claim(cls="fast"),
                storage_class(),
                unplaced(
                    f"{GONE}pod has unbound immediate PersistentVolumeClaims.",
                    volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}],
                ),
            ]
        ),
        Thing("PersistentVolumeClaim", SPACE, "data"),
        ("Deployment web/cart",),
    ),
    # mounts
    mounting(
        "attached elsewhere",
        "volume_in_use",
        'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) cart-old-1',
        says=("pvc-1", "cart-old-1"),
        reason="FailedAttachVolume",
    ),
    mounting(
        "exclusively attached",
        "volume_in_use",
        'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node and can\'t be'
        " attached to another",
        says=("pvc-1",),
        reason="FailedAttachVolume",
    ),
    mounting(
        "secret as a volume",
        "config_missing",
        "Unable to attach or mount volumes: unmounted volumes=[cert], unattached volumes=[cert]: timed out waiting"
        " for the condition",
        'MountVolume.SetUp failed for volume "cert" : secret "tls" not found',
        says=("Secret tls",),
    ),
    mounting(
        "config map as a volume",
        "config_missing",
        'MountVolume.SetUp failed for volume "conf" : configmap "settings" not found',
        says=("ConfigMap settings",),
    ),
    mounting(
        "key as a file",
        "config_missing",
        'MountVolume.SetUp failed for volume "conf" : references non-existent config key: app.yaml',
        says=("key app.yaml",),
    ),
    mounting(
        "the server of a share",
        "volume_not_mounted",
        'MountVolume.SetUp failed for volume "pvc-2" : mount failed: exit status 32: access denied by server',
        says=("pvc-2", "access denied"),
    ),
    mounting(
        "only that it waited",
        "volume_not_mounted",
        "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data]: timed out waiting"
        " for the condition",
        says=("data",),
    ),
]
