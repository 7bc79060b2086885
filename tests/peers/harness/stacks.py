"""Which programs play server and client. A stack is a command line with holes.

Holes of servers: {listen} {port} {cert} {key} {www} {cache} {caddyfile}; of clients:
{urls} (one word each) {connect} {host} {port} {ca} {output} {body}; of both: {bin}
(protoquic's programs), {peers} (benches/peers' programs), {python}, {here} (tests/peers).
"""

from dataclasses import dataclass

CADDYFILE = """\
{{
	admin off
	auto_https off
	log {{
		level ERROR
	}}
}}
https://localhost:{port} {{
	tls {cert} {key}
	@echo {{
		method POST
		path /echo
	}}
	respond @echo "{{http.request.body}}"
	root * {www}
	file_server
}}
"""


@dataclass(frozen=True)
class Server:
    """A server's command line. Without `line` it is ready when its TCP port is open."""

    command: str
    line: bool = True
    # Whether `GET /N` gives N bytes.
    numbers: bool = True


@dataclass(frozen=True)
class Client:
    """A client's command lines: to get one or more URLs, and to post a file."""

    get: str
    post: str


SERVERS = {
    "ours": Server(
        "{bin}/quic_simple_server --listen {listen} --certificate_file {cert} --key_file {key}"
        " --quic_response_cache_dir {cache} --generate_dynamic_responses"
    ),
    # Our server as it comes, with the site it carries.
    "ours_site": Server(
        "{bin}/quic_simple_server --listen {listen} --certificate_file {cert} --key_file {key}"
    ),
    "ours_webtransport": Server(
        "{bin}/quic_simple_server --listen {listen} --certificate_file {cert} --key_file {key}"
        " --webtransport"
    ),
    "quinn": Server("{peers}/quinn_h3_server --listen {listen} --cert {cert} --key {key} --www {www}"),
    "aioquic": Server(
        "{python} {here}/aioquic_server.py --listen {listen} --cert {cert} --key {key} --www {www}"
    ),
    "caddy": Server(
        "caddy run --config {caddyfile} --adapter caddyfile", line=False, numbers=False
    ),
}

_PYTHON = "--ca {ca} --connect {connect} --output {output}"
CLIENTS = {
    "ours": Client(
        "{bin}/quic_simple_client {urls} --host {host} --port {port} --ca_file {ca}"
        " --output {output} --quiet",
        "{bin}/quic_simple_client {urls} --host {host} --port {port} --ca_file {ca}"
        " --output {output} --quiet --method POST --body_file {body}",
    ),
    "quinn": Client(
        "{peers}/quinn_h3_client {urls} " + _PYTHON,
        "{peers}/quinn_h3_client {urls} " + _PYTHON + " --body-file {body}",
    ),
    "aioquic": Client(
        "{python} {here}/aioquic_client.py {urls} " + _PYTHON,
        "{python} {here}/aioquic_client.py {urls} " + _PYTHON + " --body-file {body}",
    ),
    "curl": Client(
        "{python} {here}/curl_client.py {urls} " + _PYTHON,
        "{python} {here}/curl_client.py {urls} " + _PYTHON + " --body-file {body}",
    ),
}

# Played by `browser`, not by a command line.
BROWSER = "chromium"


def define(text):
    """Adds or replaces a stack: `server.NAME=CMD`, `client.NAME.get=CMD`, `client.NAME.post=CMD`."""
    name, _, command = text.partition("=")
    match name.split("."):
        case ["server", server]:
            SERVERS[server] = Server(command)
        case ["client", client, "get"]:
            CLIENTS[client] = Client(command, CLIENTS[client].post if client in CLIENTS else "false")
        case ["client", client, "post"]:
            CLIENTS[client] = Client(CLIENTS[client].get if client in CLIENTS else "false", command)
        case _:
            raise SystemExit(f"--define {text}: not server.NAME=, client.NAME.get= or .post=")
