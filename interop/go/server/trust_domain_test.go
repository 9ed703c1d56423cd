package server

import (
	"testing"

	trustdomainv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/trustdomain/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

func TestFederationRelationships(t *testing.T) {
	client := trustdomainv1.NewTrustDomainClient(environment.Admin(t))
	web := &types.FederationRelationship{
		TrustDomain: "web.test", BundleEndpointUrl: "https://web.test/bundle",
		BundleEndpointProfile: &types.FederationRelationship_HttpsWeb{HttpsWeb: &types.HTTPSWebProfile{}},
	}
	spiffe := &types.FederationRelationship{
		TrustDomain: "spiffe.test", BundleEndpointUrl: "https://spiffe.test:8443",
		BundleEndpointProfile: &types.FederationRelationship_HttpsSpiffe{
			HttpsSpiffe: &types.HTTPSSPIFFEProfile{EndpointSpiffeId: "spiffe://spiffe.test/spire/server"},
		},
		TrustDomainBundle: foreign(t, "spiffe.test"),
	}
	insecure := &types.FederationRelationship{
		TrustDomain: "plain.test", BundleEndpointUrl: "http://plain.test",
		BundleEndpointProfile: &types.FederationRelationship_HttpsWeb{HttpsWeb: &types.HTTPSWebProfile{}},
	}
	created, err := client.BatchCreateFederationRelationship(patient(t),
		&trustdomainv1.BatchCreateFederationRelationshipRequest{
			FederationRelationships: []*types.FederationRelationship{web, spiffe, insecure},
		})
	require.NoError(t, err)
	requireDone(t, created.Results[0].Status)
	requireDone(t, created.Results[1].Status)
	requireResult(t, codes.InvalidArgument, created.Results[2].Status)

	got, err := client.GetFederationRelationship(patient(t),
		&trustdomainv1.GetFederationRelationshipRequest{TrustDomain: "spiffe.test"})
	require.NoError(t, err)
	require.Equal(t, "https://spiffe.test:8443", got.BundleEndpointUrl)
	require.Equal(t, "spiffe://spiffe.test/spire/server", got.GetHttpsSpiffe().GetEndpointSpiffeId())
	require.Len(t, got.GetTrustDomainBundle().GetX509Authorities(), 1, "the bundle that came along")

	web.BundleEndpointUrl = "https://elsewhere.test"
	updated, err := client.BatchUpdateFederationRelationship(patient(t),
		&trustdomainv1.BatchUpdateFederationRelationshipRequest{
			FederationRelationships: []*types.FederationRelationship{web},
			InputMask:               &types.FederationRelationshipMask{BundleEndpointUrl: true},
		})
	require.NoError(t, err)
	requireDone(t, updated.Results[0].Status)
	require.Equal(t, "https://elsewhere.test", updated.Results[0].FederationRelationship.BundleEndpointUrl)

	listed, err := client.ListFederationRelationships(patient(t),
		&trustdomainv1.ListFederationRelationshipsRequest{OutputMask: &types.FederationRelationshipMask{}})
	require.NoError(t, err)
	require.Len(t, listed.FederationRelationships, 2)

	deleted, err := client.BatchDeleteFederationRelationship(patient(t),
		&trustdomainv1.BatchDeleteFederationRelationshipRequest{
			TrustDomains: []string{"web.test", "spiffe.test", "none.test"},
		})
	require.NoError(t, err)
	requireDone(t, deleted.Results[0].Status)
	requireDone(t, deleted.Results[1].Status)
	requireResult(t, codes.NotFound, deleted.Results[2].Status)
	_, err = client.GetFederationRelationship(patient(t),
		&trustdomainv1.GetFederationRelationshipRequest{TrustDomain: "web.test"})
	requireCode(t, codes.NotFound, err)
}
