"""WIT-SVIDs, verified with a JOSE library by the keys that the server publishes."""

import base64
import json
import os
import subprocess

import pytest
from authlib.jose import JsonWebKey, JsonWebSignature, JsonWebToken
from authlib.jose.errors import BadSignatureError
from conftest import running_fixture
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

FLAG = 'experimental { feature_flags = ["wit-svid"] wit_key_type = "rsa-2048" }'


@pytest.fixture(scope="module")
def server():
    with running_fixture([{"path": "/web"}], STEEPLE_FIXTURE_SERVER=FLAG) as facts:
        yield facts


def run(server, *words):
    env = {**os.environ, "SPIRE_SERVER_FFLAGS": "wit-svid"}
    command = [server.server_program, *words, "-socketPath", server.admin_socket, "-output", "json"]
    return json.loads(subprocess.run(command, env=env, check=True, capture_output=True, timeout=60).stdout)


def published(server):
    """The keys that WIT-SVIDs may be signed with, by their ids."""
    keys = {}
    for authority in run(server, "bundle", "show")["wit_authorities"]:
        key = load_der_public_key(base64.b64decode(authority["public_key"]))
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        keys[authority["key_id"]] = JsonWebKey.import_key(pem)
    return keys


def test_a_relying_party_verifies_the_token_and_its_holder(server):
    spiffe_id = f"spiffe://{server.domain}/minted"
    minted = run(server, "wit", "mint", "-spiffeID", spiffe_id, "-keyType", "ec-p384", "-signingAlgorithm", "ES384")
    keys = published(server)
    assert len(keys) == 1

    def key_of(header, _payload):
        assert header["typ"] == "wit+jwt"
        return keys[header["kid"]]

    token = minted["svid"]["token"]
    claims = JsonWebToken(["RS256"]).decode(token, key_of)
    claims.validate(leeway=5)
    assert claims["sub"] == spiffe_id
    assert claims["exp"] - claims["iat"] == 3600
    assert "aud" not in claims and "iss" not in claims
    with pytest.raises(BadSignatureError):
        JsonWebToken(["RS256"]).decode(token[:-8] + "AAAAAAAA", key_of)

    # Whoever holds the private key can prove it to someone who has only seen the token.
    jws = JsonWebSignature(["ES384"])
    private_key = JsonWebKey.import_key(json.loads(minted["private_key"]))
    proof = jws.serialize_compact({"alg": "ES384"}, b"a request", private_key)
    named = claims["cnf"]["jwk"]
    assert named["alg"] == "ES384"
    assert jws.deserialize_compact(proof, JsonWebKey.import_key(named))["payload"] == b"a request"
