"""Runs in a container: serves a file and fetches it, then fetches over HTTP and HTTPS.

Arguments: the two servers' addresses, and a certificate to trust beside the system's, or nothing.
"""

import hashlib
import http.server
import ssl
import sys
import threading
import urllib.request


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def serve_and_fetch():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/served.txt") as answer:
        print("served:", answer.read().decode().strip())
    server.shutdown()


def fetch(address, context):
    with urllib.request.urlopen(f"{address}/hello", context=context) as answer:
        print(f"{address[:5].rstrip(':')}:", answer.status, answer.read().decode().strip())
    request = urllib.request.Request(f"{address}/echo", b"posted bytes", {"Content-Type": "text/plain"})
    with urllib.request.urlopen(request, context=context) as answer:
        print("echoed:", answer.read().decode())
    with urllib.request.urlopen(f"{address}/bytes/300000", context=context) as answer:
        print("bytes:", hashlib.sha256(answer.read()).hexdigest())


def main():
    plain, secure, *trusted = sys.argv[1:]
    serve_and_fetch()
    fetch(plain, None)
    context = ssl.create_default_context()
    for certificate in trusted:
        context.load_verify_locations(certificate)
    fetch(secure, context)


main()
