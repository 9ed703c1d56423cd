package server

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

func TestMintX509SVID(t *testing.T) {
	key := newKey(t)
	minted, err := svidv1.NewSVIDClient(environment.Admin(t)).MintX509SVID(patient(t),
		&svidv1.MintX509SVIDRequest{Csr: csr(t, key, environment.ID("/minted")), Ttl: 300})
	require.NoError(t, err)
	svid := parse(t, minted.Svid, key)
	require.Equal(t, environment.ID("/minted"), svid.ID)
	leaf := svid.Certificates[0]
	require.Equal(t, 310*time.Second, leaf.NotAfter.Sub(leaf.NotBefore))
}

func TestMintX509SVIDRefusals(t *testing.T) {
	client := svidv1.NewSVIDClient(environment.Admin(t))
	forged := csr(t, newKey(t), environment.ID("/minted"))
	forged[len(forged)-1] ^= 1
	for name, request := range map[string][]byte{
		"nothing":         nil,
		"no CSR":          []byte("no CSR"),
		"no ID":           csr(t, newKey(t)),
		"two IDs":         csr(t, newKey(t), environment.ID("/a"), environment.ID("/b")),
		"wrong signature": forged,
	} {
		_, err := client.MintX509SVID(patient(t), &svidv1.MintX509SVIDRequest{Csr: request})
		require.Error(t, err, name)
		requireCode(t, codes.InvalidArgument, err)
	}
}

func TestMintJWTSVID(t *testing.T) {
	minted, err := svidv1.NewSVIDClient(environment.Admin(t)).MintJWTSVID(patient(t),
		&svidv1.MintJWTSVIDRequest{Id: id("/minted"), Audience: []string{"api"}, Ttl: 120})
	require.NoError(t, err)
	requireToken(t, minted.Svid, "/minted", "api", 120)

	_, err = svidv1.NewSVIDClient(environment.Admin(t)).MintJWTSVID(patient(t),
		&svidv1.MintJWTSVIDRequest{Id: id("/minted")})
	requireCode(t, codes.InvalidArgument, err)
}

func TestBatchNewX509SVID(t *testing.T) {
	n := attest(t)
	mine := create(t, &types.Entry{
		ParentId: n.id(), SpiffeId: id("/issued"), Selectors: selector("x"),
		X509SvidTtl: 90, DnsNames: []string{"issued.test"},
	}, entry(id("/other"), "/foreign"))
	key, forged := newKey(t), csr(t, newKey(t))
	forged[len(forged)-1] ^= 1
	// The identity comes from the entry, whatever the request says.
	request := csr(t, key, environment.ID("/somebody/else"))
	response, err := svidv1.NewSVIDClient(n.conn).BatchNewX509SVID(patient(t), &svidv1.BatchNewX509SVIDRequest{
		Params: []*svidv1.NewX509SVIDParams{
			{EntryId: mine[0].Id, Csr: request},
			{EntryId: mine[1].Id, Csr: request},
			{EntryId: mine[0].Id, Csr: forged},
			{EntryId: mine[0].Id},
		},
	})
	require.NoError(t, err)
	require.Len(t, response.Results, 4)
	requireDone(t, response.Results[0].Status)
	svid := parse(t, response.Results[0].Svid, key)
	require.Equal(t, environment.ID("/issued"), svid.ID)
	leaf := svid.Certificates[0]
	require.Equal(t, []string{"issued.test"}, leaf.DNSNames)
	require.Equal(t, 100*time.Second, leaf.NotAfter.Sub(leaf.NotBefore))

	requireResult(t, codes.NotFound, response.Results[1].Status)
	requireResult(t, codes.InvalidArgument, response.Results[2].Status)
	requireResult(t, codes.InvalidArgument, response.Results[3].Status)
}

func TestNewJWTSVID(t *testing.T) {
	n := attest(t)
	mine := create(t, &types.Entry{ParentId: n.id(), SpiffeId: id("/token"), Selectors: selector("x"), JwtSvidTtl: 77},
		entry(id("/other"), "/foreign"))
	client := svidv1.NewSVIDClient(n.conn)
	issued, err := client.NewJWTSVID(patient(t),
		&svidv1.NewJWTSVIDRequest{EntryId: mine[0].Id, Audience: []string{"api"}})
	require.NoError(t, err)
	requireToken(t, issued.Svid, "/token", "api", 77)

	_, err = client.NewJWTSVID(patient(t), &svidv1.NewJWTSVIDRequest{EntryId: mine[1].Id, Audience: []string{"api"}})
	requireCode(t, codes.NotFound, err)
	_, err = client.NewJWTSVID(patient(t), &svidv1.NewJWTSVIDRequest{EntryId: mine[0].Id})
	requireCode(t, codes.InvalidArgument, err)
}

func TestNewDownstreamX509CA(t *testing.T) {
	create(t, &types.Entry{
		ParentId: id("/parent"), SpiffeId: id("/downstream"), Selectors: selector("x"), Downstream: true,
	})
	conn := dial(t, tlsconfig.MTLSClientConfig(mint(t, "/downstream"), environment.Bundle(t),
		tlsconfig.AuthorizeID(serverID())))
	key := newKey(t)
	issued, err := svidv1.NewSVIDClient(conn).NewDownstreamX509CA(patient(t),
		&svidv1.NewDownstreamX509CARequest{Csr: csr(t, key)})
	require.NoError(t, err)
	require.NotEmpty(t, issued.CaCertChain)
	ca, err := x509.ParseCertificate(issued.CaCertChain[0])
	require.NoError(t, err)
	require.True(t, ca.IsCA)
	require.Equal(t, "spiffe://"+environment.TrustDomain, ca.URIs[0].String())
	require.True(t, key.PublicKey.Equal(ca.PublicKey))
	require.NoError(t, ca.CheckSignatureFrom(environment.Authorities(t)[0]))
	require.Contains(t, issued.X509Authorities, environment.Authorities(t)[0].Raw)

	_, err = svidv1.NewSVIDClient(attest(t).conn).NewDownstreamX509CA(patient(t),
		&svidv1.NewDownstreamX509CARequest{Csr: csr(t, key)})
	requireCode(t, codes.PermissionDenied, err)
}

func TestWITIsNotServed(t *testing.T) {
	public, err := x509.MarshalPKIXPublicKey(newKey(t).Public())
	require.NoError(t, err)
	_, err = svidv1.NewSVIDClient(environment.Admin(t)).MintWITSVID(patient(t),
		&svidv1.MintWITSVIDRequest{Id: id("/wit"), PublicKey: public, SigningAlgorithm: "ES256"})
	requireCode(t, codes.Unimplemented, err)
	batch, err := svidv1.NewSVIDClient(attest(t).conn).BatchNewWITSVID(patient(t), &svidv1.BatchNewWITSVIDRequest{
		Params: []*svidv1.NewWITSVIDParams{{EntryId: "x", PublicKey: public, SigningAlgorithm: "ES256"}},
	})
	require.NoError(t, err)
	requireResult(t, codes.NotFound, batch.Results[0].Status)
	require.Nil(t, batch.Results[0].Svid)
}

// requireToken checks a JWT-SVID against the bundle and what was wanted.
func requireToken(t *testing.T, issued *types.JWTSVID, path, audience string, ttl int64) {
	t.Helper()
	bundle, err := bundlev1.NewBundleClient(environment.Admin(t)).GetBundle(patient(t), &bundlev1.GetBundleRequest{})
	require.NoError(t, err)
	keys := jwtbundle.New(environment.Domain())
	for _, authority := range bundle.JwtAuthorities {
		key, err := x509.ParsePKIXPublicKey(authority.PublicKey)
		require.NoError(t, err)
		require.NoError(t, keys.AddJWTAuthority(authority.KeyId, key))
	}
	svid, err := jwtsvid.ParseAndValidate(issued.Token, keys, []string{audience})
	require.NoError(t, err)
	require.Equal(t, environment.ID(path), svid.ID)
	require.Equal(t, path, issued.Id.Path)
	require.Equal(t, svid.Expiry.Unix(), issued.ExpiresAt)
	require.Equal(t, ttl, issued.ExpiresAt-issued.IssuedAt)

	token, err := josejwt.ParseSigned(issued.Token, []jose.SignatureAlgorithm{jose.ES256})
	require.NoError(t, err)
	require.True(t, keys.HasJWTAuthority(token.Headers[0].KeyID))
}
