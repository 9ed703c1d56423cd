package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
)

// A workload sees the bundle of another trust domain while one of its entries federates with it, and each change of it.
func TestAFederatedBundleComesChangesAndGoes(t *testing.T) {
	admin := environment.Admin(t)
	bundles, entries := bundlev1.NewBundleClient(admin), entryv1.NewEntryClient(admin)
	other := spiffeid.RequireTrustDomainFromString("other.test")
	source, err := workloadapi.NewBundleSource(patient(t), options())
	require.NoError(t, err)
	defer source.Close()
	known := func() []*x509.Certificate {
		bundle, err := source.GetX509BundleForTrustDomain(other)
		if err != nil {
			return nil
		}
		return bundle.X509Authorities()
	}
	require.Empty(t, known())

	set := func(roots ...*x509.Certificate) {
		bundle := &types.Bundle{TrustDomain: other.Name()}
		for _, root := range roots {
			bundle.X509Authorities = append(bundle.X509Authorities, &types.X509Certificate{Asn1: root.Raw})
		}
		done, err := bundles.BatchSetFederatedBundle(patient(t), &bundlev1.BatchSetFederatedBundleRequest{
			Bundle: []*types.Bundle{bundle},
		})
		require.NoError(t, err)
		require.Zero(t, done.Results[0].Status.Code, done.Results[0].Status.Message)
	}
	first, second := root(t, other), root(t, other)
	set(first)
	created, err := entries.BatchCreateEntry(patient(t), &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{{
		ParentId: &types.SPIFFEID{
			TrustDomain: environment.TrustDomain,
			Path:        spiffeid.RequireFromString(environment.AgentID).Path(),
		},
		SpiffeId:      &types.SPIFFEID{TrustDomain: environment.TrustDomain, Path: "/federated"},
		Selectors:     []*types.Selector{{Type: "unix", Value: "uid:" + strconv.Itoa(os.Getuid())}},
		FederatesWith: []string{other.Name()},
	}}})
	require.NoError(t, err)
	require.Zero(t, created.Results[0].Status.Code, created.Results[0].Status.Message)
	await(t, source, func() bool { return len(known()) == 1 && known()[0].Equal(first) }, "it came with the entry")

	set(first, second)
	await(t, source, func() bool { return len(known()) == 2 }, "it changed")

	_, err = entries.BatchDeleteEntry(patient(t), &entryv1.BatchDeleteEntryRequest{
		Ids: []string{created.Results[0].Entry.Id},
	})
	require.NoError(t, err)
	await(t, source, func() bool { return known() == nil }, "it went with the entry")
	_, err = source.GetX509BundleForTrustDomain(environment.Domain())
	require.NoError(t, err, "the own bundle stays")
}

func root(t *testing.T, domain spiffeid.TrustDomain) *x509.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageCertSign,
		URIs:                  []*url.URL{domain.ID().URL()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return certificate
}
