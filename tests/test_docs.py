"""The documents are true: what a program can check in them is checked, and what can be run is run."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import yaml
from agent import connected
from deciding import decide
from forking import python
from test_layers import MAY_IMPORT

from ap_mcp import __version__, output_schemas, read_tools
from ap_mcp.cli import main
from ap_mcp.cli.docs import PARTS, filled, schemas
from ap_mcp.cli.options import EXIT_CODES
from ap_mcp.credentials import find_credentials
from ap_mcp.guard.elsewhere import MOST_ROUNDS
from ap_mcp.guard.facts import ClusterFacts, Facts
from ap_mcp.guard.lifetimes import APPROVAL_LIFETIME, QUESTION_LIFETIME, TOKEN_LIFETIME
from ap_mcp.guard.policy import Policy, Refuse
from ap_mcp.guard.policy_file import doubts, parse_rules
from ap_mcp.kubernetes.kinds import other_names
from ap_mcp.kubernetes.spec import known_kinds
from ap_mcp.output_schemas import MADE
from ap_mcp.settings import _NOT_FIELDS, TABLES, Confirm, Settings
from ap_mcp.simulator.faults import _DEFAULT_VALUES, KINDS
from ap_mcp.simulator.serving import exports
from ap_mcp.specs import EFFECTS, GUARDED, Catalog, load_catalog
from ap_mcp.toolbox import PRESET, known_to_rules, toolbox
from ap_mcp.web.options import PATH

ROOT = Path(__file__).parents[1]
MARKDOWN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in MARKDOWN}
README, CONTRIBUTING, CHANGELOG = (TEXTS[name] for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))
CLI, CLIENTS = TEXTS["docs/cli.md"], TEXTS["docs/clients.md"]
FOR_USERS = ("README.md", *(name for name in TEXTS if name.startswith("docs/")))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXAMPLE = re.compile(r"<!-- example: (\S+?)(?:, ([^>]+))? -->\n```\w+\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
QUOTATION = re.compile(r"<!-- stands in: (\S+) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LAYERS = re.compile(r"(<!-- layers: .*? -->\n).*?(<!-- end of layers -->)", re.DOTALL)
OURS = re.compile(r"\bAP_MCP_[A-Z_]*[A-Z]")
BORROWED = re.compile(r"\b(?:HUAWEICLOUD_SDK|HW)_[A-Z_]*[A-Z]")
MADE_BY_THE_EXAMPLE = "tests/tool_snapshots/update_log_config.json"
NOT_IN_THE_TREE = {"ap-mcp.toml", MADE_BY_THE_EXAMPLE}
SECONDS = 300
ONE_AFTER_THE_OTHER = (
    "import sys; from ap_mcp.cli import main; [main(each.split(), standalone_mode=False) for each in sys.argv[1:]]"
)
"""Runs commands of ours in one process, which is quicker."""
PYTEST = """
import os, sys, pytest
how = ["-p", "no:cacheprovider", "--assert=plain"]
os.environ["UPDATE_SNAPSHOTS"] = "1"
recorded = pytest.main([*how, "tests/test_tool_snapshots.py", "-k", sys.argv[1]])
del os.environ["UPDATE_SNAPSHOTS"]
sys.exit(recorded or pytest.main([*how, "-k", *sys.argv[2:]]))
"""
"""Records a tool as clients see it, then runs tests, in one process likewise."""
SHELL_PROGRAM = shutil.which("sh") or "/bin/sh"


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}: {self.text.splitlines()[0][:50]}"


BLOCKS = [Block(name, *found) for name, text in TEXTS.items() for found in FENCE.findall(text)]
SHELL = [block for block in BLOCKS if block.language == "sh"]
RUNNABLE = [block for block in SHELL if block.document in FOR_USERS and "ap-mcp call" in block.text]


def source(*names: str) -> str:
    return "".join((ROOT / "ap_mcp" / name).read_text(encoding="utf-8") for name in names)


def prose(text: str) -> str:
    """A document without its fenced blocks."""
    return FENCE.sub("", text)


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    table = re.search(r"(?:^\|.*\n)+", text[text.index(heading) :], re.MULTILINE)
    assert table, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[0].splitlines()[2:]]


def below(command: click.Command) -> dict[str, click.Command]:
    """The commands of a group by name, which it may import only now."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: each for name, each in found.items() if each}


def commands(command: click.Command = main, path: str = "ap-mcp") -> Iterator[tuple[str, click.Command]]:
    """Every command by what one types."""
    yield path, command
    for name, each in below(command).items():
        yield from commands(each, f"{path} {name}")


def our_calls(text: str) -> Iterator[list[str]]:
    """The words after each `ap-mcp` of a shell text, up to the end of that command."""
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        for at in (place for place, word in enumerate(words) if Path(word).name == "ap-mcp"):
            rest = words[at + 2 :] if words[at + 1 : at + 2] == ["--"] else words[at + 1 :]
            ends = (place for place, word in enumerate(rest) if word in {"&&", "||", "|", ">", "&", ";"})
            yield rest[: next(ends, None)]


def parse(words: list[str]) -> None:
    """Let click read a command line as if it were typed; a flag or command that is not there raises."""
    command: click.Command = main
    while words and words[0] in below(command):
        command, words = below(command)[words[0]], words[1:]
    if isinstance(command, click.Group):
        known = {option for each in command.params for option in each.opts} | {""}
        assert set(words) <= known, f"{words} is no command of ap-mcp"
    elif words:
        # A command keeps how help is asked for from where it is first read: below ours.
        command.make_context(command.name, list(words), parent=click.Context(main, **main.context_settings))


def users_commands() -> Iterator[tuple[str, click.Command]]:
    """The commands that are shown to users."""
    hidden = tuple(f"ap-mcp {name}" for name, each in below(main).items() if each.hidden)
    yield from ((path, command) for path, command in commands() if not path.startswith(hidden))


def run(arguments: list[str], folder: Path, ends_with: int = 0, /, **environment: str) -> str:
    """Run a program in a folder that is its home too, with no setting and no key of ours; return what it says."""
    inherited = {name: value for name, value in os.environ.items() if not OURS.match(name) and not BORROWED.match(name)}
    home = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data")}
    ran = subprocess.run(
        arguments,
        cwd=folder,
        env=inherited | home | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == ends_with, ran.stdout
    return ran.stdout


def test_every_setting_is_in_the_readme_and_every_one_named_is_a_setting() -> None:
    known = {f"AP_MCP_{name.upper()}" for name in Settings.model_fields if name not in TABLES} | _NOT_FIELDS
    documented = {name for row in rows(README, "## Settings") for name in OURS.findall(row[0])}
    assert known - documented == {"AP_MCP_AUTH_TOKEN"}  # a credential, listed with the others
    assert "`AP_MCP_AUTH_TOKEN`" in README
    for name, text in TEXTS.items():
        assert set(OURS.findall(text)) <= known, name


def test_defaults_are_those_documented() -> None:
    documented = {row[0].strip("`"): row[2].strip("`") for row in rows(README, "## Settings")}
    for name in ("read_only", "confirm", "max_kubeconfig_days", "timeout", "log_level", "toolsets"):
        default = Settings.model_fields[name].default
        plain = ",".join(default) if isinstance(default, tuple) else f"{default:g}" if name == "timeout" else default
        assert documented[f"AP_MCP_{name.upper()}"] == str(plain).lower(), name


def test_every_variable_of_other_programs_that_is_read_is_in_the_readme_and_no_other() -> None:
    read = set(BORROWED.findall(source("credentials.py", "settings.py")))
    assert read == set(BORROWED.findall(README))


def test_credentials_are_searched_in_the_documented_order(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("[basic]\nak = A\nsk = S\n")
    places = (
        ("AP_MCP_AUTH_TOKEN",),
        ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"),
        ("HW_ACCESS_KEY", "HW_SECRET_KEY"),
        ("HW_USER_NAME", "HW_PASSWORD", "HW_DOMAIN_NAME"),
        ("HUAWEICLOUD_SDK_CREDENTIALS_FILE",),
    )
    found = {name: "x" for names in places for name in names} | {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(file)}
    section = README[README.index("### Credentials") :]
    at = -1
    for names in places:
        used = find_credentials(found).source
        assert (
            used == str(file) if names == places[-1] else set(names) <= set(OURS.findall(used) + BORROWED.findall(used))
        )
        assert section.index(names[0]) > at
        at = section.index(names[0])
        found = {name: value for name, value in found.items() if name not in names}
    assert "agency" in find_credentials({**found, "HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(tmp_path / "no")}).source
    assert section.index("agency") > at


@pytest.mark.parametrize(
    ("path", "command"), list(users_commands()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_every_command_and_flag_is_in_the_page_of_the_command_line(path: str, command: click.Command) -> None:
    assert f"Usage: {path} " in CLI
    flags = [flag for each in command.params if isinstance(each, click.Option) for flag in each.opts]
    assert [flag for flag in flags if not re.search(rf"(?m)^ +(-\w, )?{flag}\b", CLI)] == []


def test_what_is_for_developers_is_kept_from_users() -> None:
    assert {name for name, each in below(main).items() if each.hidden} == {"specs", "docs"}
    assert "ap-mcp specs" not in README + CLI + CLIENTS


def test_every_exit_code_and_fact_of_an_error_is_documented() -> None:
    documented = {row[0] for row in rows(CLI, "## What comes back")}
    assert documented == set(re.findall(r"\b\d+(?= [a-z])", EXIT_CODES))
    kinds = {row[0].strip("`"): row[1] for row in rows(CLI, "<!-- outcomes")}
    assert set(kinds.values()) - {"that of its cause"} <= documented
    assert set(re.findall(r"`(\w+)`", CLI[CLI.index("exactly one JSON object") : CLI.index("| exit code")])) >= {
        "kind",
        "code",
        "message",
        "exit_code",
        "problems",
        "impact",
        "status",
        "request_id",
        "may_have_happened",
    }


def test_each_client_has_a_way_to_consent_and_where_that_is_known_from() -> None:
    head, *lines = (line.split("\t") for line in (ROOT / "docs/clients.tsv").read_text(encoding="utf-8").splitlines())
    known = [dict(zip(head, cells, strict=True)) for cells in lines]
    assert [each["client"] for each in known] == sorted((each["client"] for each in known), key=str.casefold)
    for each in known:
        assert re.fullmatch(r"2026-\d\d(-\d\d)?", each["date"]), each
        assert "approval" in each["consent"] or each["forms"].startswith("yes, whole"), each
        assert each["forms"].startswith("yes") == ("form" in each["consent"]), each
    shown_whole = {each["is"] for each in json.loads((ROOT / "ap_mcp/guard/forms.json").read_text()).values()}
    assert {each["client"] for each in known if each["consent"] == "form"} == shown_whole


def test_every_tool_is_in_the_readme(catalog: Catalog) -> None:
    assert [tool.name for tool in toolbox(catalog).shown if f"\n| `{tool.name}` |" not in README] == []


def test_the_generated_parts_are_current() -> None:
    for name in PARTS:
        assert filled(TEXTS[name], name) == TEXTS[name], "run: ap-mcp docs --write"
    assert MADE.read_text(encoding="utf-8") == schemas(), "run: ap-mcp docs --write"


def test_the_numbers_given_are_right(catalog: Catalog) -> None:
    newer = sum(each.reference.startswith("SDK ") for each in catalog.values())
    for text in (README, CHANGELOG):
        assert f"the {len(catalog) - newer} documented" in text
        assert not newer or f"{newer} newer" in text
    essential = len(toolbox(catalog, [PRESET]).shown)
    assert f"keeps to {essential}." in README
    assert f"the `essential` {essential} tools" in CHANGELOG


def test_the_effects_are_those_there_are() -> None:
    documented = {row[0].strip("`"): row[2] for row in rows(README, "## Safety")}
    assert tuple(documented) == EFFECTS
    assert {effect for effect, now in documented.items() if now == "a person is asked"} == GUARDED


def test_the_ways_to_obtain_consent_are_those_there_are() -> None:
    documented = [row[0].split()[0].strip("`") for row in rows(README, "### How a person is asked")]
    assert documented == list(get_args(Confirm))
    in_words = {3: "three", 5: "five", 15: "fifteen"}
    assert TOKEN_LIFETIME == QUESTION_LIFETIME
    minutes, longer = (in_words[each // timedelta(minutes=1)] for each in (QUESTION_LIFETIME, APPROVAL_LIFETIME))
    assert f"for {minutes} minutes (an approval for {longer})" in README
    assert f"{in_words[MOST_ROUNDS]} times at most" in README


def test_the_policy_shown_makes_production_untouchable(catalog: Catalog) -> None:
    shown = [block for block in BLOCKS if block.language == "toml" and block.document == "README.md"]
    (block,) = (block for block in shown if "rules = [" in block.text)
    assert len(block.text.splitlines()) <= 6  # five, and a line that says where they go
    policy = Policy(rules=parse_rules(block.text, "policy.toml"))
    production = [
        ClusterFacts("1", "shop-prod"),
        ClusterFacts("1", "shop", "Shop-PROD"),
        ClusterFacts("1", "shop", tags={"env": "prod"}),
    ]
    arguments = {"cluster_id": "1", "duration_days": 1}
    for operation in (each for each in catalog.values() if "cluster_id" in each.arguments):
        for cluster in production:
            refused = isinstance(decide(operation, arguments, Facts(cluster), policy), Refuse)
            assert refused == (operation.effect != "read"), operation.id
        elsewhere = decide(operation, arguments, Facts(ClusterFacts("1", "shop-dev")), policy)
        assert not isinstance(elsewhere, Refuse)


def test_the_rules_about_objects_that_are_shown_are_a_policy_without_doubts(catalog: Catalog) -> None:
    (block,) = (each for each in BLOCKS if each.document == "docs/kubernetes.md" and each.language == "toml")
    rules = parse_rules(block.text, "policy.toml", known_to_rules(catalog))
    assert [rule.decision for rule in rules] == ["deny", "deny", "ask", "allow"]
    assert doubts(Policy(rules=rules), known_to_rules(catalog), other_names(known_kinds())) == ()


def test_every_fault_is_documented_with_its_usual_value() -> None:
    documented = {row[0].strip("`"): row[2] for row in rows(CLI, "### Fault injection")}
    assert set(documented) == set(KINDS)
    for kind, value in _DEFAULT_VALUES.items():
        assert f"{value:g} if not given" in documented[kind]


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_blocks_hold_commands_that_exist(block: Block) -> None:
    subprocess.run([SHELL_PROGRAM, "-n"], input=block.text, text=True, check=True, timeout=SECONDS)
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    for made in re.findall(r"(?m)^make (\w+)", block.text):
        assert made in targets
    for words in our_calls(block.text):
        parse(words)


@pytest.mark.parametrize("name", TEXTS)
def test_commands_named_in_a_sentence_exist(name: str) -> None:
    for said in re.findall(r"`(?:\.venv/bin/)?(ap-mcp [^`]+)`", prose(TEXTS[name])):
        parse(shlex.split(said)[1:])


def installed(folder: Path) -> str:
    """Make `ap-mcp` a command, as an installation does; return a search path that finds it."""
    program = folder / "bin" / "ap-mcp"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{python()}" -m ap_mcp "$@"\n')
    program.chmod(0o700)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


@contextmanager
def simulator(folder: Path) -> Iterator[dict[str, str]]:
    """Serve the simulator so slowly that no check expires meanwhile, on a machine with much else to do."""
    command = [python(), "-m", "ap_mcp", "simulate", "--speed", "20"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as served:
        assert served.stdout
        try:
            lines = [served.stdout.readline().strip().removeprefix("export ") for _ in exports("")]
            yield dict(line.split("=", 1) for line in lines)
        finally:
            served.terminate()


def test_the_example_upgrades_a_cluster_and_stops_at_what_must_be_fixed(tmp_path: Path) -> None:
    rules = tmp_path / "policy.toml"
    rules.write_text('rules = [{ decision = "allow", clusters = ["checkout-*"], effects = ["destroy"] }]')
    script = [SHELL_PROGRAM, str(ROOT / "examples" / "upgrade.sh")]
    with simulator(tmp_path) as served:
        ours = served | {"PATH": installed(tmp_path), "AP_MCP_POLICY_FILE": str(rules), "FLAGS": "--yes"}
        said = run([*script, "checkout-staging", "v1.31"], tmp_path, **ours)
        stopped = run([*script, "shop-prod", "v1.29"], tmp_path, 5, **ours)
    assert "Ready: nothing blocks an upgrade" in said
    assert re.search(r"The upgrade from v1.29\S+ to v1.31\S+ succeeded", said)
    assert "The cluster passed the post-upgrade check." in said
    assert "\nblocked: " in stopped
    assert "backup_cluster" not in stopped.partition("blocked: ")[0]


@pytest.mark.parametrize("block", RUNNABLE, ids=str)
def test_what_the_readme_lets_one_type_works(block: Block, tmp_path: Path) -> None:
    # Where there is no kubectl, all but what it shows is tried.
    text = block.text if shutil.which("kubectl") else re.sub(r"(?m)^kubectl .*\n", "", block.text)
    said = run([SHELL_PROGRAM, "-eu", "-c", text], tmp_path, PATH=installed(tmp_path))
    shown = {
        "get_cluster_certificate": "The kubeconfig is saved to ",
        "kubectl ": "Running",
        "k8s_diagnose": "panic: index products",
        "list_clusters": " clusters: ",
    }
    expected = [words for part, words in shown.items() if part in text]
    assert expected
    assert [words for words in expected if words not in said] == []
    if "create_cluster" in block.text:
        assert "shop-prod" in said
        assert "my-first" in said


def test_json_blocks_are_json_and_configure_what_exists() -> None:
    known = {f"AP_MCP_{name.upper()}" for name in Settings.model_fields}
    known |= set(BORROWED.findall(source("credentials.py", "settings.py")))
    configured, connected = 0, 0
    for block in BLOCKS:
        document: Any = json.loads(block.text) if block.language == "json" else {}
        servers = document.get("mcpServers") or document.get("servers") or {}
        for server in (servers or document.get("mcp") or {}).values():
            if "url" in server:
                connected += 1
                assert server["url"].endswith(PATH)
                assert re.fullmatch(r"Bearer \$\{\w+:\w+\}", server["headers"]["Authorization"])
                continue
            configured += 1
            command, *words = [server["command"], *server["args"]] if "args" in server else server["command"]
            assert command == "ap-mcp"
            parse(words)
            assert set(server.get("env") or server["environment"]) <= known
    assert (configured, connected) == (5, 2)
    for said in re.findall(r'`"args": (\[.*?\])`', README):
        parse(json.loads(said))


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(TEXTS[name])):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / name).parent / path if path else ROOT / name
        assert there.is_file(), target
        inside = there.resolve().relative_to(ROOT).as_posix()
        headings = re.findall(r"(?m)^#+ (.+)$", prose(TEXTS.get(inside, "")))
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, target


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_files_that_are_named_exist(name: str) -> None:
    there = [
        path for folder in ("ap_mcp", "tests", "tool_specs", ".ci", ".github") for path in (ROOT / folder).rglob("*")
    ]
    names = {path.name for path in there}
    for said in (
        set(re.findall(r"`([\w./-]+(?:\.(?:py|json|md|toml|tsv|yml)|/))`", prose(TEXTS[name]))) - NOT_IN_THE_TREE
    ):
        assert (ROOT / said).exists() or said.rstrip("/") in names, said


@pytest.mark.parametrize("path", [*MARKDOWN, *WORKFLOWS, HOOKS], ids=lambda path: path.name)
def test_no_document_names_a_machine_or_a_person(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert re.findall(r"(?<![\w.~])/(?:work|root|home|Users|tmp|opt)/\S*", text) == []
    assert re.findall(r"\b[\w.+-]+@[\w-]+\.\w+", text) == []


def layers() -> str:
    """The map of imports as a table."""
    allowed = {name: ", ".join(f"`{each}`" for each in sorted(found)) for name, found in MAY_IMPORT.items()}
    lines = [f"| `{name}` | {imports or 'nothing'} |" for name, imports in allowed.items()]
    return "\n".join(["| module | imports, of ours |", "|--|--|", *lines])


def test_the_layer_map_is_the_one_that_is_enforced() -> None:
    made = LAYERS.sub(lambda found: f"{found[1]}{layers()}\n{found[2]}", CONTRIBUTING)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        (ROOT / "CONTRIBUTING.md").write_text(made, encoding="utf-8")
    elif made != CONTRIBUTING:
        pytest.fail("the map has changed; run: UPDATE_SNAPSHOTS=1 pytest tests/test_docs.py -k layer")
    assert layers() in made


def test_arguments_given_as_examples_exist(catalog: Catalog) -> None:
    documented = [row[1] for row in rows(CONTRIBUTING, "How an argument finds its place")]
    named = [found for cell in documented for found in re.findall(r'^`(\w+)`: `"(\w+)"', cell)]
    assert len(named) >= 6
    assert [(tool, argument) for tool, argument in named if argument not in catalog[tool].arguments] == []
    assert catalog["run_precheck"].fill
    assert catalog["create_release"].effect_when
    assert catalog["delete_cluster"].wait


@pytest.mark.parametrize(("path", "text"), QUOTATION.findall(CONTRIBUTING), ids=lambda each: each.splitlines()[0][:40])
def test_code_shown_as_an_example_stands_in_the_tree(path: str, text: str) -> None:
    assert text in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.anyio
async def test_the_read_tool_of_the_example_works_as_a_module_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((name, text),) = re.findall(r"<!-- read tool: (\w+) -->\n```python\n(.*?)\n```", CONTRIBUTING, re.DOTALL)
    (tmp_path / f"{name}.py").write_text(text + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    example = importlib.import_module(name)
    tool = example.COUNT_CONTENTS
    others = read_tools.read_tools(load_catalog())
    monkeypatch.setattr(read_tools, "read_tools", lambda *_: (*others, tool))
    shown_schemas = {**output_schemas.schemas(), tool.name: output_schemas.result_schema(example.Contents)}
    monkeypatch.setattr(output_schemas, "schemas", lambda: shown_schemas)
    async with connected(tmp_path) as agent:
        shown = {each.name for each in (await agent.client.list_tools()).tools}
        assert "count_contents" in shown
        counted = await agent.call("count_contents", cluster_id="search-dev")
        assert counted == {"summary": "4 add-ons and 2 releases.", "addons": 4, "releases": 2}
        assert agent.sent == ["list_clusters", "list_addons", "list_releases"]
        assert "did you mean cluster_id?" in await agent.fail("count_contents", cluster="search-dev")
    for toolsets, is_offered in (
        (("clusters",), False),
        (("clusters", "addons", "charts"), True),
        (("charts",), False),
    ):
        box = toolbox(load_catalog(), toolsets)
        assert ("count_contents" in box.tools) == is_offered


def insert(tree: Path, path: str, where: str, text: str) -> None:
    """Insert one block of the example of CONTRIBUTING where it belongs."""
    file = tree / path
    before = file.read_text(encoding="utf-8")
    if file.suffix == ".json":
        document = json.loads(before)
        node = document
        for step in where.split("/"):
            node = node[step]
        node |= json.loads(text)
        after = json.dumps(document)
    elif where:
        (head,) = re.findall(rf"(?m)^{where.removeprefix('in ')}(?:: .+)? = [({{]\n", before)
        after = before.replace(head, head + "".join(f"    {line}\n" for line in text.splitlines()))
    else:
        after = before + ("\n\n" if file.suffix == ".py" else "") + text + "\n"
    file.write_text(after, encoding="utf-8")


def test_an_operation_is_added_in_the_five_steps(tmp_path: Path, catalog: Catalog) -> None:
    for folder in ("ap_mcp", "tool_specs", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns(".*", "node_modules"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    examples = EXAMPLE.findall(CONTRIBUTING)
    assert len(examples) == 8
    for path, where, text in examples:
        insert(tmp_path, path, where, text)
    steps = ("specs check --write", "tools update_log_config", "docs --write")
    shown = run([sys.executable, "-c", ONE_AFTER_THE_OTHER, *steps], tmp_path)
    assert f"{len(catalog) + 1} operations, nothing wrong" in shown
    assert "kept_days (integer)" in shown
    assert "IAM action: not documented; known from SDK 3.1.219 only" in shown
    assert "\n| `update_log_config` |" in (tmp_path / "README.md").read_text(encoding="utf-8")
    chosen = "logs_that or exercised_above or update_log_config or documented or has_a_case or every_argument"
    chosen += " or method_of_its_own or same_fields or says_itself or table_of_guarded or every_tool_is_watched"
    files = [
        f"tests/test_{name}.py"
        for name in (
            "operations",
            "binding_sdk",
            "tool_snapshots",
            "specs",
            "impacts_base",
            "server",
            "canaries",
            "consent",
        )
    ]
    run([sys.executable, "-c", PYTEST, "update_log_config", chosen, *files], tmp_path)
    assert (tmp_path / MADE_BY_THE_EXAMPLE).is_file()


def test_the_changelog_keeps_its_form_and_knows_this_version() -> None:
    heads = re.findall(r"(?m)^## \[(.+?)\]", CHANGELOG)
    assert heads[0] == "Unreleased"
    assert __version__ in heads
    kinds = set(re.findall(r"(?m)^### (.+)$", CHANGELOG))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    entries = re.findall(r"(?m)^- (.+)$", CHANGELOG)
    assert [entry for entry in entries if not entry.endswith(".") or re.search(r"[.!?] [A-Z]", entry)] == []


def commands_of(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_ci_runs_the_make_targets_on_every_python_we_promise() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = {each.rsplit(" ", 1)[1] for each in project["classifiers"] if re.search(r":: 3\.\d+$", each)}
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert set(jobs["test"]["strategy"]["matrix"]["python"]) == promised
    assert commands_of(jobs["test"]) == ["make PYTHON=python check test"]
    assert "make check\nmake test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_ci_holds_the_coverage_floor_and_tries_the_lowest_versions_with_the_lowest_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert commands_of(jobs["cover"]) == ["make PYTHON=python cover"]
    assert "if" not in jobs["cover"]
    assert project["tool"]["coverage"]["report"]["fail_under"] >= 97
    assert commands_of(jobs["lowest"]) == ["make PYTHON=python lowest"]
    (setup,) = (step for step in jobs["lowest"]["steps"] if "setup-python" in step.get("uses", ""))
    assert project["project"]["requires-python"] == f">={setup['with']['python-version']}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_release_beside_it(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text(encoding="utf-8"))
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_hooks_download_nothing_and_are_part_of_make_check() -> None:
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin").splitlines()
    typed = {line.strip().removesuffix(" .") for line in recipes}
    for repository in yaml.safe_load(HOOKS.read_text(encoding="utf-8"))["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            assert hook["entry"].removesuffix(" --force-exclude") in typed
