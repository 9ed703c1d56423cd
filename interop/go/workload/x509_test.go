package workload

import (
	"crypto/ecdsa"
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	workloadpb "github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
)

func TestEveryX509SVIDIsServed(t *testing.T) {
	svids, err := client(t).FetchX509SVIDs(patient(t))
	require.NoError(t, err)
	var ids, hints []string
	for _, svid := range svids {
		ids = append(ids, svid.ID.Path())
		hints = append(hints, svid.Hint)
		requireVerifies(t, svid)
	}
	require.ElementsMatch(t, []string{"/web", "/db", "/short"}, ids)
	require.ElementsMatch(t, []string{"web", "db", "short"}, hints)
}

func TestX509SVIDProfile(t *testing.T) {
	svid, err := x509Source(t, "web").GetX509SVID()
	require.NoError(t, err)
	require.Equal(t, environment.ID("/web"), svid.ID)
	requireVerifies(t, svid)

	leaf := svid.Certificates[0]
	require.Len(t, leaf.URIs, 1)
	require.Equal(t, environment.ID("/web").String(), leaf.URIs[0].String())
	require.Equal(t, []string{"web.test", "www.web.test"}, leaf.DNSNames)
	require.Equal(t, "web.test", leaf.Subject.CommonName)
	require.Equal(t, []string{"US"}, leaf.Subject.Country)
	require.Equal(t, []string{"SPIRE"}, leaf.Subject.Organization)
	require.Empty(t, leaf.IPAddresses)
	require.Empty(t, leaf.EmailAddresses)

	require.False(t, leaf.IsCA)
	require.True(t, leaf.BasicConstraintsValid)
	usage := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement
	require.Equal(t, usage, leaf.KeyUsage)
	require.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, leaf.ExtKeyUsage)

	require.Positive(t, leaf.SerialNumber.Sign())
	require.LessOrEqual(t, leaf.SerialNumber.BitLen(), 128)
	require.Equal(t, environment.Authorities(t)[0].SubjectKeyId, leaf.AuthorityKeyId)
	require.NotEmpty(t, leaf.SubjectKeyId)

	key, ok := svid.PrivateKey.Public().(*ecdsa.PublicKey)
	require.True(t, ok, "%T", svid.PrivateKey)
	require.True(t, key.Equal(leaf.PublicKey), "the key belongs to the certificate")
}

func TestX509SVIDLifetime(t *testing.T) {
	// The server's default is an hour; a certificate begins ten seconds before its issue.
	lifetimes := map[string]time.Duration{"web": time.Hour, "db": 10 * time.Minute, "short": shortTTL * time.Second}
	for hint, ttl := range lifetimes {
		t.Run(hint, func(t *testing.T) {
			svid, err := x509Source(t, hint).GetX509SVID()
			require.NoError(t, err)
			leaf := svid.Certificates[0]
			require.Equal(t, ttl+10*time.Second, leaf.NotAfter.Sub(leaf.NotBefore))
			require.True(t, leaf.NotBefore.Before(time.Now()))
			require.WithinRange(t, leaf.NotAfter, time.Now(), time.Now().Add(ttl))
		})
	}
}

func TestX509ContextHoldsTheBundle(t *testing.T) {
	context, err := client(t).FetchX509Context(patient(t))
	require.NoError(t, err)
	bundle, err := context.Bundles.GetX509BundleForTrustDomain(environment.Domain())
	require.NoError(t, err)
	require.True(t, bundle.Equal(environment.Bundle(t)))

	bundles, err := client(t).FetchX509Bundles(patient(t))
	require.NoError(t, err)
	require.Equal(t, 1, bundles.Len())
	bundle, err = bundles.GetX509BundleForTrustDomain(environment.Domain())
	require.NoError(t, err)
	require.True(t, bundle.Equal(environment.Bundle(t)))
}

func TestTwoConnectionsSeeOneSVID(t *testing.T) {
	// The agent has one SVID for an entry, whoever asks.
	first, err := x509Source(t, "web").GetX509SVID()
	require.NoError(t, err)
	second, err := x509Source(t, "web").GetX509SVID()
	require.NoError(t, err)
	require.Equal(t, first.Certificates[0].Raw, second.Certificates[0].Raw)
}

func TestTheSecurityHeaderIsRequired(t *testing.T) {
	conn, err := grpc.NewClient("unix:"+environment.AgentSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	stream, err := workloadpb.NewSpiffeWorkloadAPIClient(conn).FetchX509SVID(patient(t), &workloadpb.X509SVIDRequest{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
}
