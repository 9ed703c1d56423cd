package server

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

func mint(t *testing.T, path string) *x509svid.SVID {
	t.Helper()
	key := newKey(t)
	minted, err := svidv1.NewSVIDClient(environment.Admin(t)).MintX509SVID(patient(t),
		&svidv1.MintX509SVIDRequest{Csr: csr(t, key, environment.ID(path))})
	require.NoError(t, err)
	return parse(t, minted.Svid, key)
}

// foreign is the bundle of another trust domain.
func foreign(t *testing.T, domain string) *types.Bundle {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(newKey(t).Public())
	require.NoError(t, err)
	return &types.Bundle{
		TrustDomain:     domain,
		X509Authorities: []*types.X509Certificate{{Asn1: environment.Authorities(t)[0].Raw}},
		JwtAuthorities:  []*types.JWTKey{{KeyId: "key of " + domain, PublicKey: public}},
		RefreshHint:     60,
		SequenceNumber:  5,
	}
}

func TestGetBundleNeedsNoIdentity(t *testing.T) {
	conn := dial(t, tlsconfig.TLSClientConfig(environment.Bundle(t), tlsconfig.AuthorizeID(serverID())))
	bundle, err := bundlev1.NewBundleClient(conn).GetBundle(patient(t), &bundlev1.GetBundleRequest{})
	require.NoError(t, err)
	require.Equal(t, environment.TrustDomain, bundle.TrustDomain)
	var authorities [][]byte
	for _, authority := range bundle.X509Authorities {
		require.False(t, authority.Tainted)
		authorities = append(authorities, authority.Asn1)
	}
	require.Contains(t, authorities, environment.Authorities(t)[0].Raw)
	require.NotEmpty(t, bundle.JwtAuthorities)
	require.Greater(t, bundle.JwtAuthorities[0].ExpiresAt, time.Now().Unix())

	masked, err := bundlev1.NewBundleClient(conn).GetBundle(patient(t),
		&bundlev1.GetBundleRequest{OutputMask: &types.BundleMask{SequenceNumber: true}})
	require.NoError(t, err)
	require.Empty(t, masked.X509Authorities)
}

func TestAppendBundle(t *testing.T) {
	client := bundlev1.NewBundleClient(environment.Admin(t))
	before, err := client.GetBundle(patient(t), &bundlev1.GetBundleRequest{})
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(newKey(t).Public())
	require.NoError(t, err)
	after, err := client.AppendBundle(patient(t), &bundlev1.AppendBundleRequest{
		JwtAuthorities: []*types.JWTKey{{KeyId: "appended", PublicKey: public, ExpiresAt: time.Now().Unix() + 600}},
	})
	require.NoError(t, err)
	require.Len(t, after.JwtAuthorities, len(before.JwtAuthorities)+1)
	require.Greater(t, after.SequenceNumber, before.SequenceNumber)
}

func TestPublishJWTAuthority(t *testing.T) {
	create(t, &types.Entry{
		ParentId: id("/parent"), SpiffeId: id("/publisher"), Selectors: selector("x"), Downstream: true,
	})
	conn := dial(t, tlsconfig.MTLSClientConfig(mint(t, "/publisher"), environment.Bundle(t),
		tlsconfig.AuthorizeID(serverID())))
	public, err := x509.MarshalPKIXPublicKey(newKey(t).Public())
	require.NoError(t, err)
	published, err := bundlev1.NewBundleClient(conn).PublishJWTAuthority(patient(t), &bundlev1.PublishJWTAuthorityRequest{
		JwtAuthority: &types.JWTKey{KeyId: "published", PublicKey: public, ExpiresAt: time.Now().Unix() + 600},
	})
	require.NoError(t, err)
	keys := map[string][]byte{}
	for _, key := range published.JwtAuthorities {
		keys[key.KeyId] = key.PublicKey
	}
	require.Equal(t, public, keys["published"])

	_, err = bundlev1.NewBundleClient(conn).PublishWITAuthority(patient(t), &bundlev1.PublishWITAuthorityRequest{})
	requireCode(t, codes.Unimplemented, err)
}

func TestFederatedBundles(t *testing.T) {
	client := bundlev1.NewBundleClient(environment.Admin(t))
	before, err := client.CountBundles(patient(t), &bundlev1.CountBundlesRequest{})
	require.NoError(t, err)
	require.Equal(t, int32(1), before.Count, "its own")

	one, two := foreign(t, "one.test"), foreign(t, "two.test")
	created, err := client.BatchCreateFederatedBundle(patient(t),
		&bundlev1.BatchCreateFederatedBundleRequest{Bundle: []*types.Bundle{one, one, foreign(t, environment.TrustDomain)}})
	require.NoError(t, err)
	requireDone(t, created.Results[0].Status)
	requireResult(t, codes.AlreadyExists, created.Results[1].Status)
	requireResult(t, codes.InvalidArgument, created.Results[2].Status)

	set, err := client.BatchSetFederatedBundle(patient(t),
		&bundlev1.BatchSetFederatedBundleRequest{Bundle: []*types.Bundle{two}})
	require.NoError(t, err)
	requireDone(t, set.Results[0].Status)
	got, err := client.GetFederatedBundle(patient(t), &bundlev1.GetFederatedBundleRequest{TrustDomain: "two.test"})
	require.NoError(t, err)
	require.True(t, proto.Equal(two, got), "%v is not %v", two, got)

	one.RefreshHint = 120
	updated, err := client.BatchUpdateFederatedBundle(patient(t), &bundlev1.BatchUpdateFederatedBundleRequest{
		Bundle: []*types.Bundle{one, foreign(t, "none.test")}, InputMask: &types.BundleMask{RefreshHint: true},
	})
	require.NoError(t, err)
	requireDone(t, updated.Results[0].Status)
	require.Equal(t, int64(120), updated.Results[0].Bundle.RefreshHint)
	requireResult(t, codes.NotFound, updated.Results[1].Status)

	listed, err := client.ListFederatedBundles(patient(t), &bundlev1.ListFederatedBundlesRequest{})
	require.NoError(t, err)
	var domains []string
	for _, bundle := range listed.Bundles {
		domains = append(domains, bundle.TrustDomain)
	}
	require.ElementsMatch(t, []string{"one.test", "two.test"}, domains)

	deleted, err := client.BatchDeleteFederatedBundle(patient(t),
		&bundlev1.BatchDeleteFederatedBundleRequest{TrustDomains: []string{"one.test", "two.test", "none.test"}})
	require.NoError(t, err)
	requireDone(t, deleted.Results[0].Status)
	requireDone(t, deleted.Results[1].Status)
	requireResult(t, codes.NotFound, deleted.Results[2].Status)
	after, err := client.CountBundles(patient(t), &bundlev1.CountBundlesRequest{})
	require.NoError(t, err)
	require.Equal(t, before.Count, after.Count)
}

func TestAFederatedBundleInUseStays(t *testing.T) {
	admin := environment.Admin(t)
	client := bundlev1.NewBundleClient(admin)
	_, err := client.BatchSetFederatedBundle(patient(t),
		&bundlev1.BatchSetFederatedBundleRequest{Bundle: []*types.Bundle{foreign(t, "used.test")}})
	require.NoError(t, err)
	federated := entry(id("/parent"), "/federated")
	federated.FederatesWith = []string{"used.test"}
	created := create(t, federated)[0]
	require.Equal(t, []string{"used.test"}, created.FederatesWith)

	restrict, err := client.BatchDeleteFederatedBundle(patient(t),
		&bundlev1.BatchDeleteFederatedBundleRequest{TrustDomains: []string{"used.test"}})
	require.NoError(t, err)
	requireResult(t, codes.FailedPrecondition, restrict.Results[0].Status)

	dissociate, err := client.BatchDeleteFederatedBundle(patient(t), &bundlev1.BatchDeleteFederatedBundleRequest{
		TrustDomains: []string{"used.test"}, Mode: bundlev1.BatchDeleteFederatedBundleRequest_DISSOCIATE,
	})
	require.NoError(t, err)
	requireDone(t, dissociate.Results[0].Status)
	left, err := entryv1.NewEntryClient(admin).GetEntry(patient(t), &entryv1.GetEntryRequest{Id: created.Id})
	require.NoError(t, err)
	require.Empty(t, left.FederatesWith)
}
