package workload

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"testing"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"github.com/stretchr/testify/require"
)

func TestBundleSource(t *testing.T) {
	source, err := workloadapi.NewBundleSource(patient(t), options())
	require.NoError(t, err)
	defer source.Close()

	bundle, err := source.GetBundleForTrustDomain(environment.Domain())
	require.NoError(t, err)
	require.True(t, x509bundle.FromX509Authorities(environment.Domain(), bundle.X509Authorities()).
		Equal(environment.Bundle(t)))
	for _, authority := range bundle.X509Authorities() {
		require.True(t, authority.IsCA)
		require.Len(t, authority.URIs, 1)
		require.Equal(t, "spiffe://"+environment.TrustDomain, authority.URIs[0].String())
	}
	require.NotEmpty(t, bundle.JWTAuthorities())
	for _, key := range bundle.JWTAuthorities() {
		require.Equal(t, elliptic.P256(), key.(*ecdsa.PublicKey).Curve)
	}

	_, err = source.GetBundleForTrustDomain(spiffeid.RequireTrustDomainFromString("other.test"))
	require.Error(t, err)
}

func TestJWTBundles(t *testing.T) {
	bundles, err := client(t).FetchJWTBundles(patient(t))
	require.NoError(t, err)
	require.Equal(t, 1, bundles.Len())
	bundle, err := bundles.GetJWTBundleForTrustDomain(environment.Domain())
	require.NoError(t, err)
	require.NotEmpty(t, bundle.JWTAuthorities())
}
