"""A gRPC server of grpcio: all four kinds of calls on bytes. Arguments: the address to listen at."""

import sys
import threading
from concurrent import futures

import grpc

count = 0


def count_end(context):
    """Counts the call when it ends, which only its client can do; answers what to wait for its end by.

    Asked for before the first message goes back: a handler that is suspended then may never be resumed."""
    gone = threading.Event()

    def end():
        global count
        count += 1
        gone.set()

    # False: it has ended already.
    if not context.add_callback(end):
        end()
    return gone


def unary(request, context):
    """Echoes; says what it was sent of metadata; fails as `x-fail` says; waits for the end as `x-wait` says."""
    metadata = dict(context.invocation_metadata())
    if "x-wait" in metadata:
        count_end(context).wait(60)
        return request
    sizes = sum(len(value) for key, value in metadata.items() if key.startswith("x-large"))
    context.send_initial_metadata((("x-initial", "first"), ("x-large-bytes", str(sizes))))
    context.set_trailing_metadata((("x-trailing", "last"), ("x-bytes-bin", b"\x00\xff")))
    if "x-fail" in metadata:
        context.abort(grpc.StatusCode.ABORTED, "as asked: \u00e9%")
    return request


def server_stream(request, context):
    """As many messages as the request says."""
    for index in range(int(request)):
        yield str(index).encode()


def client_stream(requests, context):
    """How many messages came, and their bytes."""
    number, size = 0, 0
    for message in requests:
        number, size = number + 1, size + len(message)
    return f"{number} {size}".encode()


def bidi(requests, context):
    """Each message back; with `x-wait` only the first."""
    gone = count_end(context) if "x-wait" in dict(context.invocation_metadata()) else None
    for message in requests:
        yield message
        if gone:
            return gone.wait(60)


def ended_early(request, context):
    """How many calls were ended by their clients."""
    return str(count).encode()


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
    "EndedEarly": grpc.unary_unary_rpc_method_handler(ended_early),
}

server = grpc.server(
    futures.ThreadPoolExecutor(max_workers=16), options=[("grpc.max_metadata_size", 64 * 1024), ("grpc.so_reuseport", 0)]
)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", HANDLERS),))
server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination()
