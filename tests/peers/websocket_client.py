"""A WebSocket client of `websockets`. Arguments: address, port, Host, and for TLS the file of the root certificate."""

import socket
import ssl
import sys

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

address, port, host = sys.argv[1], int(sys.argv[2]), sys.argv[3]
secure = len(sys.argv) > 4


def opened(path):
    connection = socket.create_connection((address, port))
    if not secure:
        return connect(f"ws://{host}{path}", sock=connection, subprotocols=["chat"], max_size=None)
    context = ssl.create_default_context(cafile=sys.argv[4])
    url = f"wss://{host}{path}"
    return connect(url, sock=connection, ssl=context, server_hostname=host, subprotocols=["chat"], max_size=None)


def well(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")
    print(what, flush=True)


with opened("/chat?room=1") as peer:
    well("path and subprotocol", peer.recv(), "/chat?room=1 chat")
    for n in range(1000):
        peer.send(str(n))
    well("1,000 messages", [int(peer.recv()) for _ in range(1000)], list(range(1000)))
    large = bytes(range(256)) * 8192
    peer.send(large)
    well("a message of 2 MiB", peer.recv() == large, True)
    well("ping and pong", peer.ping().wait(60), True)
well("the closing handshake", peer.close_code, 1000)

try:
    with opened("/elsewhere"):
        sys.exit("a path without a route opened")
except InvalidStatus as refused:
    well("a path without a route", refused.response.status_code, 404)
