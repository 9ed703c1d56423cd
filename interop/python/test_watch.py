"""The examples in Python of docs/watch.md, as they stand there."""

import re
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = Path(__file__).resolve().parents[2]
ENTRY = "spire.api.server.entry.v1"
BUNDLE = "spire.api.server.bundle.v1"
# Seconds, for what takes milliseconds.
PATIENCE = 30


def example(containing):
    """The one block of the page that has this text."""
    page = (ROOT / "docs/watch.md").read_text()
    [block] = [block for block in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if containing in block]
    return compile(block, "docs/watch.md", "exec")


@pytest.fixture(scope="module")
def api():
    """The API from its descriptors: messages by full name, and stubs."""
    files = descriptor_pb2.FileDescriptorSet.FromString((ROOT / "crates/api/src/gen/descriptors.bin").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)

    def message(name):
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))

    def stub(channel, service):
        methods = {}
        for method in pool.FindServiceByName(service).methods:
            arity = ["stream" if streams else "unary" for streams in (method.client_streaming, method.server_streaming)]
            methods[method.name] = getattr(channel, "_".join(arity))(
                f"/{service}/{method.name}",
                request_serializer=lambda sent: sent.SerializeToString(),
                response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
            )
        return SimpleNamespace(**methods)

    return SimpleNamespace(message=message, stub=stub)


@pytest.fixture
def channel(environment):
    with grpc.insecure_channel(f"unix:{environment.admin_socket}") as channel:
        yield channel


class Missed(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.OUT_OF_RANGE


class Stream:
    """`Watch` as the server has it, until `end` breaks it off."""

    def __init__(self, watch):
        self._watch, self._call, self._ended = watch, None, threading.Event()

    def Watch(self, request):
        if self._ended.is_set():
            raise Missed
        self._call = self._watch(request)
        return self._call

    def end(self):
        self._ended.set()
        self._call.cancel()


def until(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_entries_are_followed(api, channel):
    entries = api.stub(channel, f"{ENTRY}.Entry")
    names = {
        "grpc": grpc,
        "time": time,
        "ListEntriesRequest": api.message(f"{ENTRY}.ListEntriesRequest"),
        "WatchEntriesRequest": api.message("steeple.server.v1.WatchEntriesRequest"),
    }
    exec(example("def follow("), names)
    known, stream = {}, Stream(api.stub(channel, "steeple.server.v1.Entries").Watch)
    follower = threading.Thread(target=names["follow"], args=(entries, stream, known), daemon=True)
    follower.start()
    until("the list", lambda: any(entry.spiffe_id.path == "/web" for entry in list(known.values())))

    entry = {
        "spiffe_id": {"trust_domain": "example.org", "path": "/followed"},
        "parent_id": {"trust_domain": "example.org", "path": "/parent"},
        "selectors": [{"type": "unix", "value": "uid:4242"}],
    }
    create = api.message(f"{ENTRY}.BatchCreateEntryRequest")
    [created] = entries.BatchCreateEntry(create(entries=[entry])).results
    until("the new entry", lambda: created.entry.id in known)
    update = api.message(f"{ENTRY}.BatchUpdateEntryRequest")
    changed = {**entry, "id": created.entry.id, "hint": "changed"}
    entries.BatchUpdateEntry(update(entries=[changed]))
    until("the change", lambda: known[created.entry.id].hint == "changed")
    delete = api.message(f"{ENTRY}.BatchDeleteEntryRequest")
    entries.BatchDeleteEntry(delete(ids=[created.entry.id]))
    until("its end", lambda: created.entry.id not in known)
    # It watches again after an end, and returns when it has missed something.
    stream.end()
    follower.join(PATIENCE)
    assert not follower.is_alive()


def test_a_write_is_seen_through_another_replica(api, channel, environment, monkeypatch):
    # What a generator makes of the .proto files, and replicas that are one.
    stubs = SimpleNamespace(BundleStub=lambda channel: api.stub(channel, f"{BUNDLE}.Bundle"))
    for name in ("spire", "spire.api", "spire.api.server", "spire.api.server.bundle"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    modules = SimpleNamespace(bundle_pb2=SimpleNamespace(), bundle_pb2_grpc=stubs)
    monkeypatch.setitem(sys.modules, BUNDLE, modules)
    monkeypatch.setattr(grpc, "secure_channel", lambda _address, _credentials: channel)

    [root, *_] = [authority.public_bytes(Encoding.DER) for authority in environment.authorities]
    bundle = {"trust_domain": "one.test", "x509_authorities": [{"asn1": root}]}
    names = {
        "credentials": None,
        "request": api.message(f"{BUNDLE}.BatchSetFederatedBundleRequest")(bundle=[bundle]),
        "wanted": api.message(f"{BUNDLE}.GetFederatedBundleRequest")(trust_domain="one.test"),
    }
    exec(example("steeple-wait-for-index"), names)
    assert int(names["index"]) > 0
    assert names["bundle"].trust_domain == "one.test"
