package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	trustdomainv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/trustdomain/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

// The bundle is fetched from its endpoint the moment an operator asks for it.
func TestABundleIsFetchedWhenAskedFor(t *testing.T) {
	admin := environment.Admin(t)
	bundles, domains := bundlev1.NewBundleClient(admin), trustdomainv1.NewTrustDomainClient(admin)
	other := spiffeid.RequireTrustDomainFromString("fetched.test")
	_, err := domains.RefreshBundle(patient(t), &trustdomainv1.RefreshBundleRequest{TrustDomain: other.Name()})
	require.Equal(t, codes.NotFound, status.Code(err), "%v", err)

	first, key := authority(t, other)
	served := spiffebundle.FromX509Authorities(other, []*x509.Certificate{first})
	// The server does not ask again by itself while the test lasts.
	served.SetRefreshHint(time.Hour)
	endpoint := httptest.NewUnstartedServer(http.HandlerFunc(func(writer http.ResponseWriter, _ *http.Request) {
		document, err := served.Marshal()
		if err == nil {
			_, _ = writer.Write(document)
		}
	}))
	endpoint.TLS = &tls.Config{Certificates: []tls.Certificate{leaf(t, other.ID(), first, key)}}
	endpoint.StartTLS()
	defer endpoint.Close()
	created, err := domains.BatchCreateFederationRelationship(patient(t),
		&trustdomainv1.BatchCreateFederationRelationshipRequest{
			FederationRelationships: []*types.FederationRelationship{{
				TrustDomain: other.Name(), BundleEndpointUrl: endpoint.URL,
				BundleEndpointProfile: &types.FederationRelationship_HttpsSpiffe{
					HttpsSpiffe: &types.HTTPSSPIFFEProfile{EndpointSpiffeId: other.ID().String()},
				},
				TrustDomainBundle: &types.Bundle{
					TrustDomain:     other.Name(),
					X509Authorities: []*types.X509Certificate{{Asn1: first.Raw}},
				},
			}},
		})
	require.NoError(t, err)
	require.Zero(t, created.Results[0].Status.Code, created.Results[0].Status.Message)

	second := root(t, other)
	served.AddX509Authority(second)
	_, err = domains.RefreshBundle(patient(t), &trustdomainv1.RefreshBundleRequest{TrustDomain: other.Name()})
	require.NoError(t, err)
	got, err := bundles.GetFederatedBundle(patient(t), &bundlev1.GetFederatedBundleRequest{TrustDomain: other.Name()})
	require.NoError(t, err)
	var roots [][]byte
	for _, authority := range got.X509Authorities {
		roots = append(roots, authority.Asn1)
	}
	require.ElementsMatch(t, [][]byte{first.Raw, second.Raw}, roots)
	require.Equal(t, int64(3600), got.RefreshHint)

	endpoint.Close()
	_, err = domains.RefreshBundle(patient(t), &trustdomainv1.RefreshBundleRequest{TrustDomain: other.Name()})
	require.Equal(t, codes.Internal, status.Code(err), "%v", err)
	deleted, err := domains.BatchDeleteFederationRelationship(patient(t),
		&trustdomainv1.BatchDeleteFederationRelationshipRequest{TrustDomains: []string{other.Name()}})
	require.NoError(t, err)
	require.Zero(t, deleted.Results[0].Status.Code, deleted.Results[0].Status.Message)
}

// leaf is a server's certificate, with its key.
func leaf(t *testing.T, id spiffeid.ID, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		URIs:         []*url.URL{id.URL()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func root(t *testing.T, domain spiffeid.TrustDomain) *x509.Certificate {
	certificate, _ := authority(t, domain)
	return certificate
}

func authority(t *testing.T, domain spiffeid.TrustDomain) (*x509.Certificate, *ecdsa.PrivateKey) {
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
	return certificate, key
}
