"""JWT-SVIDs through py-spiffe."""

import time

import jwt
import pytest
from spiffe import JwtSource, JwtSvid, SpiffeId
from spiffe.svid.errors import JwtSvidError
from spiffe.workloadapi.errors import FetchJwtSvidError, ValidateJwtSvidError


def test_contents(client, environment, spiffe_id):
    svid = client.fetch_jwt_svid({"api", "other"}, SpiffeId(spiffe_id("/db")))
    assert str(svid.spiffe_id) == spiffe_id("/db")
    assert svid.audience == {"api", "other"}

    header = jwt.get_unverified_header(svid.token)
    assert header["alg"] == "ES256"
    assert header["typ"] == "JWT"
    bundle = client.fetch_jwt_bundles().get_bundle_for_trust_domain(environment.domain)
    key = bundle.jwt_authorities[header["kid"]]
    claims = jwt.decode(svid.token, key, algorithms=["ES256"], audience="api")
    assert claims["sub"] == spiffe_id("/db")
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 30


def test_a_token_verifies_for_its_audience_only(client, environment, spiffe_id):
    token = client.fetch_jwt_svid({"api"}, SpiffeId(spiffe_id("/web"))).token
    bundle = client.fetch_jwt_bundles().get_bundle_for_trust_domain(environment.domain)
    assert str(JwtSvid.parse_and_validate(token, bundle, {"api"}).spiffe_id) == spiffe_id("/web")
    with pytest.raises(JwtSvidError):
        JwtSvid.parse_and_validate(token, bundle, {"other"})


def test_the_agent_validates(client, spiffe_id):
    token = client.fetch_jwt_svid({"api"}, SpiffeId(spiffe_id("/web"))).token
    assert str(client.validate_jwt_svid(token, "api").spiffe_id) == spiffe_id("/web")
    with pytest.raises(ValidateJwtSvidError):
        client.validate_jwt_svid(token, "other")
    forged = token[:-40] + ("A" if token[-40] != "A" else "B") + token[-39:]
    with pytest.raises(ValidateJwtSvidError):
        client.validate_jwt_svid(forged, "api")


def test_every_identity_has_a_token(client):
    svids = client.fetch_jwt_svids({"api"})
    assert sorted(svid.spiffe_id.path for svid in svids) == ["/db", "/short", "/web"]


def test_a_token_for_another_is_refused(client, spiffe_id):
    with pytest.raises(FetchJwtSvidError):
        client.fetch_jwt_svid({"api"}, SpiffeId(spiffe_id("/none")))


def test_a_source(environment, spiffe_id):
    with JwtSource(socket_path=environment.socket, timeout_in_seconds=30) as source:
        svid = source.fetch_svid({"api"}, SpiffeId(spiffe_id("/web")))
        bundle = source.get_bundle_for_trust_domain(environment.domain)
        kid = jwt.get_unverified_header(svid.token)["kid"]
        assert bundle.get_jwt_authority(kid) is not None
