// Package wit verifies WIT-SVIDs with a JOSE library, from what the server publishes and nothing else.
package wit

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/steeple-id/steeple/interop/go/fixture"
)

const (
	issuer = "https://issuer.test"
	// One call takes milliseconds; this is for a busy machine.
	patience = 30 * time.Second
	// Of the entry's X.509-SVIDs, which counts for WIT-SVIDs too.
	ttl = 10 * time.Minute
)

var environment fixture.Environment

func TestMain(m *testing.M) {
	os.Setenv("STEEPLE_FIXTURE_SERVER", `experimental { feature_flags = ["wit-svid"] wit_issuer = "`+issuer+`" }`)
	fixture.Main(m, &environment, fixture.Entry{Path: "/known"})
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

type claims struct {
	jwt.Claims
	Confirmation struct {
		Key jose.JSONWebKey `json:"jwk"`
	} `json:"cnf"`
}

// verify checks the token against the published key that it names, and returns what it says.
func verify(t *testing.T, token string) claims {
	t.Helper()
	bundle, err := bundlev1.NewBundleClient(environment.Admin(t)).GetBundle(patient(t), &bundlev1.GetBundleRequest{})
	require.NoError(t, err)
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	require.NoError(t, err)
	require.Len(t, parsed.Headers, 1)
	require.Equal(t, "wit+jwt", parsed.Headers[0].ExtraHeaders[jose.HeaderType])
	for _, authority := range bundle.WitAuthorities {
		if authority.KeyId == parsed.Headers[0].KeyID {
			key, err := x509.ParsePKIXPublicKey(authority.PublicKey)
			require.NoError(t, err)
			var verified claims
			require.NoError(t, parsed.Claims(key, &verified))
			require.NoError(t, verified.ValidateWithLeeway(jwt.Expected{Issuer: issuer, Time: time.Now()}, time.Second))
			require.False(t, verified.Expiry.Time().After(time.Unix(authority.ExpiresAt, 0)))
			return verified
		}
	}
	require.Failf(t, "no such key", "%s is not published", parsed.Headers[0].KeyID)
	return claims{}
}

func marshalled(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	require.NoError(t, err)
	return der
}

func TestWhatIsMintedNamesItsHolder(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for algorithm, key := range map[string]crypto.Signer{
		"ES256": p256, "ES384": p384, "ES512": p521, "RS256": rsa2048, "PS512": rsa2048,
	} {
		t.Run(algorithm, func(t *testing.T) {
			minted, err := svidv1.NewSVIDClient(environment.Admin(t)).MintWITSVID(patient(t), &svidv1.MintWITSVIDRequest{
				Id:               &types.SPIFFEID{TrustDomain: environment.TrustDomain, Path: "/minted"},
				PublicKey:        marshalled(t, key.Public()),
				SigningAlgorithm: algorithm,
				Ttl:              60,
			})
			require.NoError(t, err)
			said := verify(t, minted.Svid.Token)
			require.Equal(t, environment.ID("/minted").String(), said.Subject)
			require.Equal(t, time.Minute, said.Expiry.Time().Sub(said.IssuedAt.Time()))
			require.Equal(t, said.Expiry.Time().Unix(), minted.Svid.ExpiresAt)
			require.Equal(t, said.IssuedAt.Time().Unix(), minted.Svid.IssuedAt)
			require.Equal(t, algorithm, said.Confirmation.Key.Algorithm)
			require.Equal(t, key.Public(), said.Confirmation.Key.Key)
		})
	}
}

func TestAnAgentGetsThemForItsEntries(t *testing.T) {
	agentID, conn := attest(t)
	created, err := entryv1.NewEntryClient(environment.Admin(t)).BatchCreateEntry(patient(t),
		&entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{{
			SpiffeId:    &types.SPIFFEID{TrustDomain: environment.TrustDomain, Path: "/agents"},
			ParentId:    agentID,
			Selectors:   []*types.Selector{{Type: "test", Value: "wit"}},
			X509SvidTtl: int32(ttl.Seconds()),
		}}})
	require.NoError(t, err)
	require.Equal(t, codes.OK, codes.Code(created.Results[0].Status.Code), created.Results[0].Status.Message)
	entryID := created.Results[0].Entry.Id
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public := marshalled(t, key.Public())

	batch, err := svidv1.NewSVIDClient(conn).BatchNewWITSVID(patient(t), &svidv1.BatchNewWITSVIDRequest{
		Params: []*svidv1.NewWITSVIDParams{
			{EntryId: entryID, PublicKey: public, SigningAlgorithm: "ES256"},
			{PublicKey: public, SigningAlgorithm: "ES256"},
			{EntryId: entryID, SigningAlgorithm: "ES256"},
			{EntryId: "another", PublicKey: public, SigningAlgorithm: "ES256"},
			{EntryId: entryID, PublicKey: []byte("nonsense"), SigningAlgorithm: "ES256"},
			{EntryId: entryID, PublicKey: public, SigningAlgorithm: "ES384"},
			{EntryId: entryID, PublicKey: public, SigningAlgorithm: "ES256"},
		},
	})
	require.NoError(t, err)
	require.Len(t, batch.Results, 7)
	for at, refusal := range map[int]*types.Status{
		1: {Code: int32(codes.InvalidArgument), Message: "missing entry ID"},
		2: {Code: int32(codes.InvalidArgument), Message: "missing public key"},
		3: {Code: int32(codes.NotFound), Message: "entry not found or not authorized"},
		4: {Code: int32(codes.InvalidArgument), Message: "malformed public key: "},
		5: {Code: int32(codes.InvalidArgument),
			Message: "invalid signing algorithm or key type: unsupported signing algorithm for ec-p256 key: ES384"},
	} {
		require.Equal(t, refusal.Code, batch.Results[at].Status.GetCode(), at)
		require.Contains(t, batch.Results[at].Status.GetMessage(), refusal.Message)
		require.Nil(t, batch.Results[at].Svid)
	}
	for _, at := range []int{0, 6} {
		require.Equal(t, codes.OK, codes.Code(batch.Results[at].Status.GetCode()), batch.Results[at].Status.GetMessage())
		said := verify(t, batch.Results[at].Svid.Token)
		require.Equal(t, environment.ID("/agents").String(), said.Subject)
		require.Equal(t, ttl, said.Expiry.Time().Sub(said.IssuedAt.Time()))
		require.Equal(t, key.Public(), said.Confirmation.Key.Key)
	}
}

// attest plays an agent with a join token, and returns its ID and a connection that shows its SVID.
func attest(t *testing.T) (*types.SPIFFEID, *grpc.ClientConn) {
	t.Helper()
	token, err := agentv1.NewAgentClient(environment.Admin(t)).CreateJoinToken(patient(t),
		&agentv1.CreateJoinTokenRequest{Ttl: int32(patience.Seconds())})
	require.NoError(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	require.NoError(t, err)
	server := tlsconfig.AuthorizeID(environment.ID("/spire/server"))
	anonymous := dial(t, tlsconfig.TLSClientConfig(environment.Bundle(t), server))
	stream, err := agentv1.NewAgentClient(anonymous).AttestAgent(patient(t))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&agentv1.AttestAgentRequest{Step: &agentv1.AttestAgentRequest_Params_{
		Params: &agentv1.AttestAgentRequest_Params{
			Data:   &types.AttestationData{Type: "join_token", Payload: []byte(token.Value)},
			Params: &agentv1.AgentX509SVIDParams{Csr: csr},
		},
	}}))
	answer, err := stream.Recv()
	require.NoError(t, err)
	issued := answer.GetResult().GetSvid()
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	svid, err := x509svid.ParseRaw(bytes.Join(issued.GetCertChain(), nil), pkcs8)
	require.NoError(t, err)
	return issued.Id, dial(t, tlsconfig.MTLSClientConfig(svid, environment.Bundle(t), server))
}

func dial(t *testing.T, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(environment.ServerAddress, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}
