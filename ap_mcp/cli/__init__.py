"""The `ap-mcp` command: one file per group of commands, each importing what is heavy only when it runs."""

import click

from ap_mcp import __version__
from ap_mcp.cli.approvals import approvals
from ap_mcp.cli.audit import audit
from ap_mcp.cli.call import call
from ap_mcp.cli.demo import demo
from ap_mcp.cli.docs import docs
from ap_mcp.cli.policy import policy
from ap_mcp.cli.serve import serve
from ap_mcp.cli.simulate import simulate
from ap_mcp.cli.specs import specs
from ap_mcp.cli.tools import tools


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ap-mcp")
def main() -> None:
    """Operate Huawei Cloud CCE Autopilot clusters through the Model Context Protocol."""


for command in (serve, call, tools, approvals, audit, policy, simulate, demo, specs, docs):
    main.add_command(command)
