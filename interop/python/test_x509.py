"""X.509-SVIDs through py-spiffe. grpcio puts the percent-encoded path of the socket into `:authority`."""

import threading
from datetime import datetime, timedelta, timezone

import pytest
from conftest import SHORT_TTL
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store
from spiffe import TrustDomain, X509Source


def by_path(svids):
    return {svid.spiffe_id.path: svid for svid in svids}


def extension(svid, kind):
    return svid.leaf.extensions.get_extension_for_class(kind).value


def verifies(svid, authorities):
    """By the rules of `cryptography`, which builds the chain and checks signatures, times and usages."""
    verifier = PolicyBuilder().store(Store(list(authorities))).build_client_verifier()
    verified = verifier.verify(svid.leaf, svid.cert_chain[1:])
    return verified.chain[-1] in authorities


def public_bytes(key):
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_every_svid_is_served(client, spiffe_id):
    svids = client.fetch_x509_svids()
    assert sorted(str(svid.spiffe_id) for svid in svids) == [spiffe_id(path) for path in ("/db", "/short", "/web")]


def test_chains_verify_against_the_bundle(client, environment):
    context = client.fetch_x509_context()
    bundle = context.x509_bundle_set.get_bundle_for_trust_domain(environment.domain)
    assert bundle.x509_authorities == environment.authorities
    for svid in context.x509_svids:
        assert verifies(svid, bundle.x509_authorities)


def test_profile_of_a_certificate(client, spiffe_id):
    svid = by_path(client.fetch_x509_svids())["/web"]
    names = extension(svid, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [spiffe_id("/web")]
    assert names.get_values_for_type(x509.DNSName) == ["web.test"]
    assert not extension(svid, x509.BasicConstraints).ca
    assert list(extension(svid, x509.ExtendedKeyUsage)) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]
    usage = extension(svid, x509.KeyUsage)
    assert usage.digital_signature and not usage.key_cert_sign and not usage.crl_sign
    organizations = svid.leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [organization.value for organization in organizations] == ["SPIRE"]


def test_the_key_belongs_to_the_certificate(client):
    for svid in client.fetch_x509_svids():
        assert public_bytes(svid.private_key.public_key()) == public_bytes(svid.leaf.public_key())


@pytest.mark.parametrize(("path", "ttl"), [("/web", 3600), ("/db", 600), ("/short", SHORT_TTL)])
def test_lifetime(client, path, ttl):
    leaf = by_path(client.fetch_x509_svids())[path].leaf
    # A certificate begins ten seconds before its issue.
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(seconds=ttl + 10)
    assert datetime.now(timezone.utc) < leaf.not_valid_after_utc


def test_bundles(client, environment):
    bundles = client.fetch_x509_bundles()
    bundle = bundles.get_bundle_for_trust_domain(environment.domain)
    assert bundle.x509_authorities == environment.authorities
    assert bundles.get_bundle_for_trust_domain(TrustDomain("other.test")) is None


def test_a_source_is_told_of_rotation(environment):
    def pick(svids):
        return by_path(svids)["/short"]

    with X509Source(socket_path=environment.socket, timeout_in_seconds=30, svid_picker=pick) as source:
        before = source.get_x509_context().default_svid
        news = threading.Event()
        source.subscribe_for_updates(news.set)
        after = before
        while after.leaf.serial_number == before.leaf.serial_number:
            assert news.wait(timeout=30), "no rotation"
            news.clear()
            after = source.get_x509_context().default_svid
    assert after.spiffe_id == before.spiffe_id
    assert public_bytes(after.leaf.public_key()) != public_bytes(before.leaf.public_key())
    assert after.leaf.not_valid_after_utc > before.leaf.not_valid_after_utc
    assert datetime.now(timezone.utc) < before.leaf.not_valid_after_utc, "it came in time"
    assert verifies(after, environment.authorities)
