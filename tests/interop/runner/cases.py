"""The interop runner's test cases and measurements: files, names given to both ends, scenario,
time, checks."""

from dataclasses import dataclass

from . import checks

KB, MB = 1024, 1024 * 1024
LINK = "--delay=15ms --bandwidth=10Mbps --queue=25"
DEFAULT = f"simple-p2p {LINK}"


@dataclass
class Case:
    """One test case. `server` and `client` are the TESTCASE of each end."""

    name: str
    abbreviation: str
    server: str
    client: str
    sizes: list
    checks: list
    scenario: str = DEFAULT
    seconds: int = 60
    host: str = "server4"
    protocol: str = "hq"
    chain: int = 1
    name_length: int = 10
    # For measurements: how many times, and whether TCP flows beside.
    repeat: int = 1
    measured: bool = False
    cross_traffic: bool = False


def transfer(name, abbreviation, sizes, **more):
    found = {"server": "transfer", "client": "transfer", "checks": [checks.handshakes(1)]} | more
    extra = found.pop("more_checks", [])
    case = Case(name, abbreviation, sizes=sizes, **found)
    case.checks = case.checks + extra
    return case


def on(scenario, options):
    return f"{scenario} {LINK} {options}"


def rough(scenario, percent):
    """So many of a hundred packets suffer each way, three in a row at the most."""
    rates = f"--rate_to_client={percent} --rate_to_server={percent}"
    return on(scenario, f"{rates} --burst_to_client=3 --burst_to_server=3")


ONE = [checks.no_retry, checks.handshakes(1)]
CASES = [
    transfer("handshake", "H", [KB], server="handshake", client="handshake", checks=ONE),
    transfer("transfer", "DC", [2 * MB, 3 * MB, 5 * MB]),
    transfer(
        "longrtt",
        "LR",
        [KB],
        server="handshake",
        client="handshake",
        checks=ONE,
        more_checks=[checks.two_client_hellos],
        scenario="simple-p2p --delay=750ms --bandwidth=10Mbps --queue=25",
    ),
    transfer(
        "chacha20",
        "C20",
        [3 * MB],
        server="chacha20",
        client="chacha20",
        more_checks=[checks.only_chacha],
    ),
    transfer("multiplexing", "M", [32] * 1999, more_checks=[checks.stream_limit]),
    transfer(
        "retry",
        "S",
        [10 * KB],
        server="retry",
        client="retry",
        more_checks=[checks.retry_with_token],
    ),
    transfer(
        "resumption",
        "R",
        [5 * KB, 10 * KB],
        server="resumption",
        client="resumption",
        checks=[checks.handshakes(2), checks.resumed],
    ),
    transfer(
        "zerortt",
        "Z",
        [32] * 40,
        server="zerortt",
        client="zerortt",
        checks=[checks.handshakes(2), checks.early_data],
        name_length=250,
    ),
    transfer(
        "http3",
        "3",
        [5 * KB, 10 * KB, 500 * KB],
        server="http3",
        client="http3",
        protocol="h3",
    ),
    transfer("blackhole", "B", [10 * MB], scenario=on("blackhole", "--on=5s --off=2s")),
    transfer("keyupdate", "U", [3 * MB], client="keyupdate", more_checks=[checks.keys_updated]),
    transfer(
        "ecn", "E", [100 * KB], server="ecn", client="ecn", checks=ONE, more_checks=[checks.marked]
    ),
    transfer(
        "amplificationlimit",
        "A",
        [5 * KB],
        chain=9,
        scenario=on("droplist", "--drops_to_server=2,3,4,5,6,7"),
        more_checks=[checks.amplification],
    ),
    transfer(
        "handshakeloss",
        "L1",
        [KB] * 50,
        server="multiconnect",
        client="multiconnect",
        checks=[checks.handshakes(50)],
        scenario=rough("drop-rate", 30),
        seconds=300,
    ),
    transfer(
        "transferloss",
        "L2",
        [2 * MB],
        scenario=rough("drop-rate", 2),
    ),
    transfer(
        "handshakecorruption",
        "C1",
        [KB] * 50,
        server="multiconnect",
        client="multiconnect",
        checks=[checks.handshakes(50)],
        scenario=rough("corrupt-rate", 30),
        seconds=300,
    ),
    transfer(
        "transfercorruption",
        "C2",
        [2 * MB],
        scenario=rough("corrupt-rate", 2),
    ),
    transfer("ipv6", "6", [5 * KB, 10 * KB], host="server6", more_checks=[checks.no_ipv4]),
    transfer("v2", "V2", [KB], server="v2", client="v2", checks=[checks.version_2]),
    transfer(
        "rebind-port",
        "BP",
        [10 * MB],
        scenario=on("rebind", "--first-rebind=1s --rebind-freq=5s"),
        more_checks=[checks.paths_validated],
    ),
    transfer(
        "rebind-addr",
        "BA",
        [10 * MB],
        scenario=on("rebind", "--first-rebind=1s --rebind-freq=5s --rebind-addr"),
        more_checks=[checks.paths_validated, checks.several_addresses],
    ),
    transfer(
        "connectionmigration",
        "CM",
        [2 * MB],
        server="connectionmigration",
        client="transfer",
        host="server46",
        more_checks=[checks.paths_validated, checks.new_id_on_new_path],
    ),
    transfer("goodput", "G", [10 * MB], repeat=5, measured=True),
    transfer(
        "crosstraffic",
        "C",
        [25 * MB],
        repeat=5,
        measured=True,
        cross_traffic=True,
        seconds=180,
    ),
]

# Every case but v2 is of version 1 alone: the runner checks it before all else.
for case in CASES:
    if case.name != "v2":
        case.checks = [checks.version_1, *case.checks]
    if case.name not in ("handshakeloss", "handshakecorruption"):
        case.checks = [checks.keys_logged, *case.checks]
