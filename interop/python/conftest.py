"""A server and an agent for the whole run (../README.md)."""

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from spiffe import TrustDomain, WorkloadApiClient

# Seconds. Half of its life, with the ten seconds by which it is backdated, is over five seconds after its issue.
SHORT_TTL = 20

ENTRIES = [
    {"path": "/web", "dns_names": ["web.test"], "hint": "web"},
    {"path": "/db", "x509_svid_ttl": 600, "jwt_svid_ttl": 60},
    {"path": "/short", "x509_svid_ttl": SHORT_TTL},
]


@contextmanager
def running_fixture(entries, **variables):
    program = os.environ.get("STEEPLE_FIXTURE")
    assert program, "STEEPLE_FIXTURE names no program: call `./x interop`"
    arguments = [json.dumps(entry) for entry in entries]
    pipe, env = subprocess.PIPE, {**os.environ, **variables}
    with subprocess.Popen([program, *arguments], stdin=pipe, stdout=pipe, text=True, env=env) as process:
        facts = json.loads(process.stdout.readline())
        yield SimpleNamespace(
            domain=TrustDomain(facts["trust_domain"]),
            socket="unix://" + facts["agent_socket"],
            admin_socket=facts["admin_socket"],
            server_program=facts["server_program"],
            authorities=set(x509.load_pem_x509_certificates(Path(facts["bundle_path"]).read_bytes())),
        )
        # It stops when its standard input closes.
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.fixture(scope="session")
def environment():
    with running_fixture(ENTRIES) as facts:
        yield facts


@pytest.fixture
def client(environment):
    # The timeout is only for a broken agent.
    with WorkloadApiClient(environment.socket, default_timeout=30) as client:
        yield client


@pytest.fixture
def spiffe_id(environment):
    return lambda path: f"spiffe://{environment.domain}{path}"
