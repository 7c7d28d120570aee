"""Who may import whom: this map is the architecture, and the test keeps it true."""

import ast
from functools import cache

from sources import modules

LAYERS = """
# What everything stands on: texts, errors, secrets hidden, the cloud's JSON, the specs.
late_patterns:
wording: late_patterns
errors: wording
masking: late_patterns wording
service_texts: late_patterns masking
vendor: late_patterns masking service_texts wording
private_files:
specs: errors
schemas: specs
arguments: errors late_patterns schemas specs wording
patterns:
lint: errors patterns schemas specs
webhook_addresses:
setting_values: late_patterns wording
settings: errors late_patterns private_files setting_values specs webhook_addresses wording
credentials: errors late_patterns private_files settings
profiles: credentials errors setting_values settings wording
files: errors late_patterns private_files wording
binding: errors specs
cluster_requests: binding errors late_patterns specs
permits: binding errors
cloud: __init__ binding cluster_requests credentials errors fairness permits service_texts setting_values settings
    specs watching wording
calling:
watching:
fairness: calling
aside: errors fairness
parallel_reads: aside errors
# What the cloud's answers mean, and how they are reported.
rules: masking service_texts specs vendor wording
summaries: files masking rules specs vendor wording
output_schemas: summaries
rendering: masking summaries vendor wording
response_store: summaries
addressing: errors summaries wording
shaping: aside cloud files response_store specs summaries
wait: errors masking rules specs summaries vendor wording
assessment: errors masking parallel_reads rules schemas specs summaries vendor wording
problems: errors masking parallel_reads rules schemas specs summaries vendor wording
# What may go out, and the tools.
filling: arguments errors masking parallel_reads rules specs vendor wording
guard: arguments aside binding errors filling late_patterns masking parallel_reads permits private_files rules specs
    vendor watching wording
state: errors guard private_files response_store vendor wording
webhooks: cloud errors guard vendor watching webhook_addresses wording
gateway: aside binding cloud cluster_requests errors late_patterns masking permits specs
naming: errors masking rules specs vendor wording
reads: aside binding cloud errors gateway guard masking naming permits specs summaries vendor
introductions: gateway guard reads specs
clouds: cloud gateway guard introductions kubernetes settings specs wait
lost_answers: binding cloud errors gateway guard specs
aftermath: arguments errors guard lost_answers reads rules specs vendor wording
finishing: aside cloud errors files gateway guard masking response_store settings shaping specs summaries wait
plans: arguments binding cloud errors finishing guard lost_answers masking reads specs summaries
operation_calls: aftermath aside binding cloud errors files filling guard kubernetes lost_answers plans reads schemas
    specs summaries vendor
operation_tools: arguments guard operation_calls plans schemas specs summaries
read_calls: arguments assessment cloud errors kubernetes plans problems shaping specs summaries wait
read_tools: assessment kubernetes plans problems read_calls specs summaries wait
kubernetes: arguments aside binding cloud cluster_requests errors files guard lost_answers masking parallel_reads
    permits plans problems reads rules specs summaries vendor wait wording
toolbox: errors guard kubernetes operation_tools output_schemas plans read_tools specs wait wording
proposals: errors guard masking plans reads specs
dry_runs: binding masking specs summaries
principals: addressing clouds errors finishing guard settings specs summaries toolbox
server: addressing aside binding calling cloud clouds dry_runs errors finishing gateway guard lost_answers masking
    plans principals private_files proposals reads response_store settings specs state summaries toolbox wait webhooks
# Who serves it: the protocol, the simulator, the command line.
prompts: errors wording
frames:
stdio: frames
completion: errors reads rules specs vendor wording
protocol: __init__ addressing arguments aside assessment completion errors guard problems prompts rendering
    response_store server stdio summaries wait wording
web: aside cloud errors frames gateway guard principals private_files protocol server setting_values settings specs
    toolbox vendor watching wording
simulator: cloud errors private_files schemas specs
cli: __init__ arguments calling cloud clouds credentials errors guard kubernetes lint masking output_schemas plans
    private_files profiles protocol read_calls rendering rules server setting_values settings simulator specs state
    summaries toolbox vendor wait watching web webhook_addresses webhooks wording
__main__: cli
__init__:
"""
"""A unit (a module or package of ours), and the units that it may import."""


def layers(text: str) -> dict[str, set[str]]:
    """Read the map: a line per unit, continued by lines that are indented; what stands behind `#` is a remark."""
    joined = text.replace("\n    ", " ")
    lines = [line.partition(":") for line in joined.splitlines() if line and not line.startswith("#")]
    return {unit: set(imports.split()) for unit, _, imports in lines}


MAY_IMPORT = layers(LAYERS)


@cache
def imports() -> dict[str, tuple[ast.Import | ast.ImportFrom, ...]]:
    """The imports of each module, wherever they stand."""
    kinds = (ast.Import, ast.ImportFrom)
    return {path: tuple(each for each in nodes if isinstance(each, kinds)) for path, nodes in modules().items()}


def unit_of(path: str) -> str:
    """The module or package of ours that a path is in."""
    return path.partition("/")[0].removesuffix(".py")


def imported(path: str) -> set[str]:
    """Names of the package's own modules that the one at `path` imports, at any depth."""
    names: set[str] = set()
    for node in imports()[path]:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {parts[1] for name in names if (parts := name.split("."))[0] == "ap_mcp" and len(parts) > 1}


def modules_that_import(prefix: str) -> set[str]:
    """Paths of our modules that import a module whose name starts with `prefix`."""
    found = set()
    for path, nodes in imports().items():
        for node in nodes:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if any(name == prefix or name.startswith(f"{prefix}.") for name in names):
                found.add(path)
    return found


def test_each_module_imports_only_what_the_map_allows() -> None:
    stray: dict[str, list[str]] = {}
    for path in imports():
        unit = unit_of(path)
        names = {"__init__" if name == "__version__" else name for name in imported(path)} - MAY_IMPORT[unit] - {unit}
        if names:
            stray[path] = sorted(names)
    assert stray == {}, "these must not be imported there; change the map only on purpose"


def test_the_map_has_no_circles_and_allows_nothing_that_is_not_used() -> None:
    used: dict[str, set[str]] = {unit: set() for unit in MAY_IMPORT}
    for path in imports():
        unit = unit_of(path)
        used[unit] |= {"__init__" if name == "__version__" else name for name in imported(path)} - {unit}
    assert used == MAY_IMPORT
    left = dict(MAY_IMPORT)
    while free := {unit for unit, imports in left.items() if not imports & left.keys()}:
        left = {unit: imports for unit, imports in left.items() if unit not in free}
    assert left == {}, "these import each other in a circle"


def test_one_module_imports_httpx_so_that_a_swap_is_one_line() -> None:
    assert modules_that_import("httpx") == {"cloud/http.py"}
    assert modules_that_import("httpx2") == set()


def test_the_simulator_shares_nothing_with_the_client_but_the_signature() -> None:
    shared = {path for path in modules_that_import("ap_mcp.cloud") if path.startswith("simulator/")}
    signing = {path for path in modules_that_import("ap_mcp.cloud.signing") if path.startswith("simulator/")}
    assert shared == signing == {"simulator/access.py"}


def test_every_module_says_in_a_docstring_what_it_is_for() -> None:
    said = {
        path: ast.get_docstring(module)
        for path, (module, *_) in modules().items()
        if isinstance(module, ast.Module)  # all are
    }
    assert said.keys() == modules().keys()
    assert [path for path, text in said.items() if not text] == []
