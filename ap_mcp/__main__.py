"""Lets `python -m ap_mcp` do what `ap-mcp` does."""

from ap_mcp.cli import main

if __name__ == "__main__":
    main()
