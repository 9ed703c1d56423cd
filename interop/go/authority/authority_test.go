// Package authority rotates the trust domain's authorities under the eyes of a workload. It has a fixture of its own,
// because what it does concerns everybody.
package authority

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	localauthorityv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/localauthority/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/steeple-id/steeple/interop/go/fixture"
)

// A few of the agent's polls.
const patience = 60 * time.Second

var environment fixture.Environment

func TestMain(m *testing.M) {
	fixture.Main(m, &environment, fixture.Entry{Path: "/workload"})
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func options() workloadapi.SourceOption {
	return workloadapi.WithClientOptions(workloadapi.WithAddr(environment.AgentAddress()))
}

func TestX509AuthorityIsReplaced(t *testing.T) {
	admin := environment.Admin(t)
	client := localauthorityv1.NewLocalAuthorityClient(admin)
	source, err := workloadapi.NewX509Source(patient(t), options())
	require.NoError(t, err)
	defer source.Close()

	state, err := client.GetX509AuthorityState(patient(t), &localauthorityv1.GetX509AuthorityStateRequest{})
	require.NoError(t, err)
	old := state.Active.AuthorityId
	require.Equal(t, hex.EncodeToString(environment.Authorities(t)[0].SubjectKeyId), old)
	require.Greater(t, state.Active.ExpiresAt, time.Now().Unix())
	require.Equal(t, old, issuer(t, source))

	prepared, err := client.PrepareX509Authority(patient(t), &localauthorityv1.PrepareX509AuthorityRequest{})
	require.NoError(t, err)
	fresh := prepared.PreparedAuthority.AuthorityId
	require.NotEqual(t, old, fresh)
	await(t, source, func() bool { return has(t, source, fresh) }, "the workload trusts it before it signs")
	require.Equal(t, old, issuer(t, source))

	_, err = client.TaintX509Authority(patient(t), &localauthorityv1.TaintX509AuthorityRequest{AuthorityId: old})
	require.Equal(t, codes.InvalidArgument, status.Code(err), "the active one cannot be tainted: %v", err)
	_, err = client.ActivateX509Authority(patient(t), &localauthorityv1.ActivateX509AuthorityRequest{AuthorityId: fresh})
	require.NoError(t, err)
	state, err = client.GetX509AuthorityState(patient(t), &localauthorityv1.GetX509AuthorityStateRequest{})
	require.NoError(t, err)
	require.Equal(t, fresh, state.Active.AuthorityId)
	require.Equal(t, old, state.Old.AuthorityId)

	_, err = client.RevokeX509Authority(patient(t), &localauthorityv1.RevokeX509AuthorityRequest{AuthorityId: old})
	require.Error(t, err, "taint first")
	_, err = client.TaintX509Authority(patient(t), &localauthorityv1.TaintX509AuthorityRequest{AuthorityId: old})
	require.NoError(t, err)
	await(t, source, func() bool { return issuer(t, source) == fresh }, "a tainted authority's SVIDs are replaced")

	_, err = client.RevokeX509Authority(patient(t), &localauthorityv1.RevokeX509AuthorityRequest{AuthorityId: old})
	require.NoError(t, err)
	await(t, source, func() bool { return !has(t, source, old) }, "a revoked authority leaves the bundle")
	require.Equal(t, fresh, issuer(t, source))
}

func TestJWTAuthorityIsReplaced(t *testing.T) {
	admin := environment.Admin(t)
	client := localauthorityv1.NewLocalAuthorityClient(admin)
	source, err := workloadapi.NewJWTSource(patient(t), options())
	require.NoError(t, err)
	defer source.Close()

	state, err := client.GetJWTAuthorityState(patient(t), &localauthorityv1.GetJWTAuthorityStateRequest{})
	require.NoError(t, err)
	old := state.Active.AuthorityId
	prepared, err := client.PrepareJWTAuthority(patient(t), &localauthorityv1.PrepareJWTAuthorityRequest{})
	require.NoError(t, err)
	fresh := prepared.PreparedAuthority.AuthorityId
	knows := func(kid string) func() bool {
		return func() bool {
			bundle, err := source.GetJWTBundleForTrustDomain(environment.Domain())
			require.NoError(t, err)
			return bundle.HasJWTAuthority(kid)
		}
	}
	await(t, source, knows(fresh), "the workload trusts it before it signs")

	_, err = client.ActivateJWTAuthority(patient(t), &localauthorityv1.ActivateJWTAuthorityRequest{AuthorityId: fresh})
	require.NoError(t, err)
	// An audience that was never asked for: nothing in the agent's cache answers this.
	svid, err := source.FetchJWTSVID(patient(t), jwtsvid.Params{Audience: "after"})
	require.NoError(t, err)
	_, err = jwtsvid.ParseAndValidate(svid.Marshal(), source, []string{"after"})
	require.NoError(t, err)

	_, err = client.TaintJWTAuthority(patient(t), &localauthorityv1.TaintJWTAuthorityRequest{AuthorityId: old})
	require.NoError(t, err)
	bundle, err := bundlev1.NewBundleClient(admin).GetBundle(patient(t), &bundlev1.GetBundleRequest{})
	require.NoError(t, err)
	tainted := map[string]bool{}
	for _, key := range bundle.JwtAuthorities {
		tainted[key.KeyId] = key.Tainted
	}
	require.Equal(t, map[string]bool{old: true, fresh: false}, tainted)
	_, err = client.RevokeJWTAuthority(patient(t), &localauthorityv1.RevokeJWTAuthorityRequest{AuthorityId: old})
	require.NoError(t, err)
	await(t, source, func() bool { return !knows(old)() }, "a revoked key leaves the bundle")
}

func TestWhatHasNoAuthority(t *testing.T) {
	client := localauthorityv1.NewLocalAuthorityClient(environment.Admin(t))
	_, err := client.GetWITAuthorityState(patient(t), &localauthorityv1.GetWITAuthorityStateRequest{})
	require.Equal(t, codes.Unimplemented, status.Code(err), "%v", err)
	_, err = client.PrepareWITAuthority(patient(t), &localauthorityv1.PrepareWITAuthorityRequest{})
	require.Equal(t, codes.Unimplemented, status.Code(err), "%v", err)
	_, err = client.ActivateWITAuthority(patient(t), &localauthorityv1.ActivateWITAuthorityRequest{AuthorityId: "00"})
	require.Equal(t, codes.Unimplemented, status.Code(err), "%v", err)
	_, err = client.TaintWITAuthority(patient(t), &localauthorityv1.TaintWITAuthorityRequest{AuthorityId: "00"})
	require.Equal(t, codes.Unimplemented, status.Code(err), "%v", err)
	_, err = client.RevokeWITAuthority(patient(t), &localauthorityv1.RevokeWITAuthorityRequest{AuthorityId: "00"})
	require.Equal(t, codes.Unimplemented, status.Code(err), "%v", err)
	_, err = client.TaintX509UpstreamAuthority(patient(t),
		&localauthorityv1.TaintX509UpstreamAuthorityRequest{SubjectKeyId: "00"})
	require.Error(t, err)
	_, err = client.RevokeX509UpstreamAuthority(patient(t),
		&localauthorityv1.RevokeX509UpstreamAuthorityRequest{SubjectKeyId: "00"})
	require.Error(t, err)
}

// updates is a source that tells when it has news.
type updates interface {
	WaitUntilUpdated(ctx context.Context) error
	Updated() <-chan struct{}
}

func await(t *testing.T, source updates, done func() bool, why string) {
	t.Helper()
	limit := patient(t)
	for !done() {
		select {
		case <-source.Updated():
		case <-limit.Done():
			t.Fatal(why)
		}
	}
}

// issuer is the authority that signed the workload's SVID.
func issuer(t *testing.T, source *workloadapi.X509Source) string {
	t.Helper()
	svid, err := source.GetX509SVID()
	require.NoError(t, err)
	return hex.EncodeToString(svid.Certificates[0].AuthorityKeyId)
}

// has tells whether the workload trusts an authority.
func has(t *testing.T, source *workloadapi.X509Source, authority string) bool {
	t.Helper()
	bundle, err := source.GetX509BundleForTrustDomain(environment.Domain())
	require.NoError(t, err)
	for _, certificate := range bundle.X509Authorities() {
		if id(certificate) == authority {
			return true
		}
	}
	return false
}

func id(certificate *x509.Certificate) string { return hex.EncodeToString(certificate.SubjectKeyId) }
