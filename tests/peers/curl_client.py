"""An HTTP/3 client of curl (its build in curl_cffi): URLs one after the other.

Same flags as the other clients; status 0 only if every response was a whole success over h3.
"""

import argparse
import sys
from pathlib import Path
from urllib.parse import urlsplit

from curl_cffi import CurlHttpVersion, CurlOpt, Session

# CURL_HTTP_VERSION_3: what libcurl reports for a response that came over HTTP/3.
HTTP_3 = 30


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--connect", required=True, help="ADDR:PORT, the port being the URL's")
    parser.add_argument("--body-file")
    parser.add_argument("--output", help="a file, or with several URLs a directory")
    parser.add_argument("urls", nargs="+")
    args = parser.parse_args()

    host, port = args.connect.rsplit(":", 1)
    origin = urlsplit(args.urls[0])
    if origin.port != int(port):
        sys.exit(f"--connect may change the address of {args.urls[0]}, not its port")
    options = {CurlOpt.RESOLVE: [f"{origin.hostname}:{port}:{host}"]}
    body = Path(args.body_file).read_bytes() if args.body_file else None
    bodies = []
    with Session(verify=args.ca, curl_options=options) as session:
        for url in args.urls:
            method = "GET" if body is None else "POST"
            response = session.request(
                method, url, data=body, timeout=120, http_version=CurlHttpVersion.V3ONLY
            )
            response.raise_for_status()
            if response.http_version != HTTP_3:
                sys.exit(f"{url}: HTTP version {response.http_version}, not 3")
            bodies.append(response.content)

    if args.output is None:
        for content in bodies:
            sys.stdout.buffer.write(content)
    elif len(bodies) == 1:
        Path(args.output).write_bytes(bodies[0])
    else:
        Path(args.output).mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(bodies):
            (Path(args.output) / str(number)).write_bytes(content)


main()
