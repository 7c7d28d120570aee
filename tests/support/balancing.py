"""haproxy, nginx and Caddy in front of servers of ours, as docs/operating.md and deploy/ have operators set them up."""

import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
from approval_desk import signed_by
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from redis_server import wait_for
from soft_authenticator import SoftPasskey

ROOT = Path(__file__).parents[2]
DOCUMENT, CADDYFILE = ROOT / "docs" / "operating.md", ROOT / "deploy" / "Caddyfile"
BALANCERS = ("haproxy", "nginx", "caddy")
SERVED_BY = "x-served-by"
PATIENCE = 20.0

FRAMES = {
    "haproxy": "global\n    maxconn 500\n{}",
    "nginx": "master_process off;\npid {folder}/pid;\nerror_log {folder}/log;\nevents {{}}\nhttp {{\naccess_log off;\n"
    "client_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\nfastcgi_temp_path {folder}/fastcgi;\n"
    "uwsgi_temp_path {folder}/uwsgi;\nscgi_temp_path {folder}/scgi;\n{}\n}}\n",
    "caddy": "{{\nadmin off\nauto_https disable_redirects\ndefault_bind 127.0.0.1\n"
    "servers {{\nprotocols h1 h2\n}}\n}}\n{}",
}
FLAGS = {
    "haproxy": ("-db", "-f", "{path}"),
    "nginx": ("-p", "{folder}", "-c", "{path}", "-g", "daemon off;"),
    "caddy": ("run", "--adapter", "caddyfile", "--config", "{path}"),
}
NAMES_THE_SERVER = {
    "haproxy": ("    balance roundrobin\n", f"    http-response set-header {SERVED_BY} %si:%sp\n"),
    "nginx": ("    location / {\n", f"    add_header {SERVED_BY} $upstream_addr always;\n"),
    "caddy": ("lb_policy round_robin\n", f"header_down {SERVED_BY} {{http.reverse_proxy.upstream.hostport}}\n"),
}


@dataclass
class Front:
    """What clients see of servers behind a balancer.

    Attributes:
        port: of the balancer.
        trust: what its certificate is checked by.
        servers: the addresses of those behind it.
        passkey: of the one who decides on the page.
    """

    port: int
    trust: ssl.SSLContext
    servers: Sequence[str]
    passkey: SoftPasskey
    served: list[int] = field(default_factory=list)
    """Which server answered each request, in order."""

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.port}"

    @asynccontextmanager
    async def client(self, mode: Any, **more: Any) -> AsyncIterator[Client]:
        """The SDK's client, connected."""

        async def note(response: httpx2.Response) -> None:
            self._note(response.headers)

        hooks = {"response": [note]}
        async with httpx2.AsyncClient(verify=self.trust, timeout=PATIENCE, event_hooks=hooks) as http:
            streams = streamable_http_client(f"{self.origin}/mcp", http_client=http)
            async with Client(streams, mode=mode, **more) as client:
                await client.list_tools()
                yield client

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx.AsyncClient]:
        """What opens pages."""

        async def note(response: httpx.Response) -> None:
            self._note(response.headers)

        hooks = {"response": [note]}
        headers = {"Origin": self.origin}
        async with httpx.AsyncClient(
            verify=self.trust, timeout=PATIENCE, event_hooks=hooks, headers=headers
        ) as browser:
            yield browser

    async def turn_to(self, number: int) -> None:
        """Have the next request served by one of the servers: they take turns."""
        async with self.browser() as browser:
            for _ in range(2 * len(self.servers)):
                await browser.get(f"{self.origin}/healthz")
                if (self.served[-1] + 1) % len(self.servers) == number:
                    return
        raise AssertionError(f"they do not take turns: {self.served}")

    async def all_serve(self) -> None:
        """Wait until every server is given requests: one that was away is taken back after some seconds."""
        seen = len(self.served)
        async with self.browser() as browser:
            while len(set(self.served[seen:])) < len(self.servers):
                await browser.get(f"{self.origin}/healthz")
                await anyio.sleep(0.05)

    async def decide(self, link: str, name: str, at: int | None = None) -> dict[str, str]:
        """Approve on the page as its script does; returns what it posted.

        Args:
            link: of the question.
            name: of what the call acts on.
            at: the server that takes the answer; whoever's turn it is, if None.
        """
        said = {"answer": "approve", "name": name}
        async with self.browser() as browser:
            page = await browser.get(link)
            assert "Approve with a passkey" in page.text, page.text
            challenge = await browser.post(f"{link}/challenge", json=said)
            posted = signed_by(self.passkey, {**said, **challenge.json()})
            if at is not None:
                await self.turn_to(at)
            answered = await browser.post(link, json=posted)
        assert answered.json() == {"done": "approve", "by": "alice"}
        assert at in {None, self.served[-1]}
        return posted

    def _note(self, headers: Any) -> None:
        last = headers.get(SERVED_BY, "").rpartition(", ")[2]
        if last in self.servers:
            self.served.append(self.servers.index(last))


@contextmanager
def balancing(program: str, folder: Path, front: Front, certificate: Path, text: str = "") -> Iterator[None]:
    """Run a balancer with the configuration that the documents show, or another, at the ports and files of a test."""
    found = shutil.which(program, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/local/sbin:/usr/sbin")
    assert found, f"{program} is missing: `make test` installs it, or install it by other means"
    ours = {
        "bind :443": f"bind 127.0.0.1:{front.port}",
        "listen 443": f"listen 127.0.0.1:{front.port}",
        "/etc/haproxy/mcp.example.com.pem": str(certificate),
        "/etc/nginx/mcp.example.com.pem": str(certificate),
        "a:8000": front.servers[0],
        "b:8000": front.servers[1],
        "mcp.example.com {": f"localhost:{front.port} {{\n\ttls {certificate} {certificate}",
        "a:8080": front.servers[0],
        "b:8080": front.servers[1],
    }
    text = text or documented(program)
    for theirs, here in ours.items():
        text = re.sub(rf"(?<![\w.]){re.escape(theirs)}", here, text)
    line, more = NAMES_THE_SERVER[program]
    assert line in text
    path = folder / f"{program}.cfg"
    path.write_text(FRAMES[program].format(text.replace(line, line + more), folder=folder))
    flags = [each.format(folder=folder, path=path) for each in FLAGS[program]]
    own = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / f"{program}.log").open("w") as log:
        process = subprocess.Popen([found, *flags], stdout=log, stderr=log, env=own)
        try:
            wait_for(lambda: process.poll() is not None or _answers(front))
            assert process.poll() is None, (folder / f"{program}.log").read_text()
            yield
        finally:
            process.kill()
            process.wait(PATIENCE)


def documented(program: str) -> str:
    """The configuration that operators are given."""
    if program == "caddy":
        return CADDYFILE.read_text()
    [text] = re.findall(rf"^```{program}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return str(text)


def _answers(front: Front) -> bool:
    try:
        return httpx.get(f"{front.origin}/healthz", verify=front.trust).status_code == 200
    except httpx.TransportError:
        return False
