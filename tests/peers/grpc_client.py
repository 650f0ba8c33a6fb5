"""A gRPC client of grpcio that tries every kind of call. Arguments: address, authority, and for TLS the file of
the root certificate. Prints a line for each thing that is as it should be; the first that is not ends it."""

import sys
import threading

import grpc

MESSAGES = 10_000
PATIENCE = 120

options = [("grpc.default_authority", sys.argv[2]), ("grpc.max_metadata_size", 64 * 1024)]
if len(sys.argv) > 3:
    with open(sys.argv[3], "rb") as file:
        credentials = grpc.ssl_channel_credentials(root_certificates=file.read())
    options.append(("grpc.ssl_target_name_override", sys.argv[2]))
    channel = grpc.secure_channel(sys.argv[1], credentials, options=options)
else:
    channel = grpc.insecure_channel(sys.argv[1], options=options)

unary = channel.unary_unary("/test.Echo/Unary")
server_stream = channel.unary_stream("/test.Echo/ServerStream")
client_stream = channel.stream_unary("/test.Echo/ClientStream")
bidi = channel.stream_stream("/test.Echo/Bidi")
ended_early = channel.unary_unary("/test.Echo/EndedEarly")


def well(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")
    print(what, flush=True)


def code(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def until_ended(least):
    """Waits until the server says that so many calls ended early."""
    pause = threading.Event()
    for _ in range(PATIENCE * 20):
        if int(ended_early(b"", timeout=PATIENCE)) >= least:
            return
        pause.wait(0.05)
    sys.exit(f"fewer than {least} calls ended at the server")


well("unary", unary(b"one", timeout=PATIENCE, wait_for_ready=True), b"one")
big = bytes(range(256)) * 4096
well("a message of 1 MiB", unary(big, timeout=PATIENCE) == big, True)

answer, call = unary.with_call(b"", timeout=PATIENCE, metadata=[(f"x-large-{n}", "v" * 1000) for n in range(24)])
initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
well("metadata of 24 KB", initial.get("x-large-bytes"), "24000")
well("initial metadata", initial.get("x-initial"), "first")
well("trailing metadata", (trailing.get("x-trailing"), trailing.get("x-bytes-bin")), ("last", b"\x00\xff"))

try:
    unary(b"", timeout=PATIENCE, metadata=[("x-fail", "1")])
    sys.exit("a call that fails did not")
except grpc.RpcError as error:
    well("a status", (error.code(), error.details()), (grpc.StatusCode.ABORTED, "as asked: \u00e9%"))
    well("trailers of a failure", dict(error.trailing_metadata()).get("x-trailing"), "last")

messages = [int(message) for message in server_stream(str(MESSAGES).encode(), timeout=PATIENCE)]
well("server streaming", messages == list(range(MESSAGES)), True)
sent = (str(n).encode() for n in range(MESSAGES))
well("client streaming", client_stream(sent, timeout=PATIENCE).split()[0], str(MESSAGES).encode())
sent = (str(n).encode() for n in range(MESSAGES))
back = [int(message) for message in bidi(sent, timeout=PATIENCE)]
well("streaming both ways", back == list(range(MESSAGES)), True)

wait = [("x-wait", "1")]
well("a deadline", code(lambda: unary(b"", timeout=0.5, metadata=wait)), grpc.StatusCode.DEADLINE_EXCEEDED)
until_ended(1)
print("the server saw it pass", flush=True)

held = threading.Event()


def one_then_none():
    yield b"first"
    held.wait()


call = bidi(one_then_none(), timeout=PATIENCE, metadata=wait)
well("a message while the stream is open", next(call), b"first")
call.cancel()
well("a call that is cancelled", call.code(), grpc.StatusCode.CANCELLED)
until_ended(2)
held.set()
print("the server saw it cancelled", flush=True)

nowhere = channel.unary_unary("/test.Nowhere/Unary")
well("a service without a route", code(lambda: nowhere(b"", timeout=PATIENCE)), grpc.StatusCode.UNIMPLEMENTED)
down = channel.unary_unary("/test.Down/Unary")
well("a service without an endpoint", code(lambda: down(b"", timeout=PATIENCE)), grpc.StatusCode.UNAVAILABLE)
