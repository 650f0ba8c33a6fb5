"""A WebSocket server of `websockets` that echoes. Arguments: address and port."""

import sys

from websockets.sync.server import serve


def echo(socket):
    socket.send(f"{socket.request.path} {socket.subprotocol}")
    for message in socket:
        socket.send(message)


with serve(echo, sys.argv[1], int(sys.argv[2]), subprotocols=["chat"], max_size=None) as server:
    server.serve_forever()
