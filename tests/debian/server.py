"""A server of the tests' on loopback, over HTTP and HTTPS, whose answers any page may read.

Arguments: a certificate and its key. Prints the two ports. It ends with its standard input.
"""

import http.server
import ssl
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "*")
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_OPTIONS(self):
        self.answer(b"")

    def do_GET(self):
        if self.path == "/hello":
            self.answer(b"hello from outside\n")
        elif self.path.startswith("/bytes/"):
            count = int(self.path.removeprefix("/bytes/"))
            self.answer(bytes(at * at % 251 for at in range(count)))
        else:
            self.answer(b"nothing here\n", 404)

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *arguments):
        pass


def start(context):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def main():
    certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    print(start(None), start(context), flush=True)
    sys.stdin.read()


main()
