"""`ap-mcp specs`: keep the tool specs true."""

import click


@click.group(hidden=True)
def specs() -> None:
    """Check the OpenAPI documents the tools are made from."""


@specs.command()
@click.option("--write", is_flag=True, help="First bring the documents into canonical form.")
def check(*, write: bool) -> None:
    """Lint tool_specs; exit 1 and say what is wrong, if anything is."""
    from ap_mcp.lint import lint, rewrite
    from ap_mcp.specs import load_catalog, specs_folder

    if write:
        for path in rewrite(specs_folder()):
            click.echo(f"rewritten: {path.name}")
    if problems := lint():
        for problem in problems:
            click.echo(problem, err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"{len(load_catalog())} operations, nothing wrong")
