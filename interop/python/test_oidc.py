"""JWT-SVIDs through the discovery provider, as a relying party with an OpenID Connect library sees them."""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from authlib.jose import JsonWebKey, JsonWebToken
from authlib.jose.errors import InvalidClaimError
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from spiffe import SpiffeId


@pytest.fixture
def issuer(environment, tmp_path):
    """The URL of a provider that takes its keys from the server's admin socket."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    config = tmp_path / "provider.conf"
    config.write_text(
        f"""
        domains = ["127.0.0.1"]
        insecure_addr = "127.0.0.1:{port}"
        allow_insecure_scheme = true
        set_key_use = true
        server_api {{
          address = "unix://{environment.admin_socket}"
        }}
        """
    )
    command = [environment.server_program, "oidc-discovery-provider", "-config", str(config)]
    with subprocess.Popen(command) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for_keys(process, url + "/keys")
            yield url
        finally:
            process.terminate()
        assert process.wait(timeout=30) == 0


def wait_for_keys(process, url):
    deadline = time.monotonic() + 30
    while True:
        try:
            return get(url)
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "the provider ended"
            assert time.monotonic() < deadline, "the provider has no keys"
            time.sleep(0.02)


def get(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


def test_a_relying_party_verifies(client, issuer, spiffe_id):
    metadata = OpenIDProviderMetadata(get(get_well_known_url(issuer, external=True)))
    assert metadata["issuer"] == issuer
    metadata.validate_response_types_supported()
    metadata.validate_subject_types_supported()
    metadata.validate_id_token_signing_alg_values_supported()

    document = get(metadata["jwks_uri"])
    assert {key["use"] for key in document["keys"]} == {"sig"}
    keys = JsonWebKey.import_key_set(document)
    token = client.fetch_jwt_svid({"api"}, SpiffeId(spiffe_id("/web"))).token
    decoder = JsonWebToken(metadata["id_token_signing_alg_values_supported"])

    def verify(audience):
        options = {"aud": {"essential": True, "value": audience}, "sub": {"value": spiffe_id("/web")}}
        claims = decoder.decode(token, keys, claims_cls=JwtSvidClaims, claims_options=options)
        claims.validate(leeway=5)
        return claims

    assert verify("api")["sub"] == spiffe_id("/web")
    with pytest.raises(InvalidClaimError):
        verify("other")


class JwtSvidClaims(CodeIDToken):
    """JWT-SVIDs of this server have no issuer: its configuration names none."""

    ESSENTIAL_CLAIMS = ["sub", "aud", "exp", "iat"]
