package server

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// node is an agent as the server sees one.
type node struct {
	svid *x509svid.SVID
	conn *grpc.ClientConn
}

// attest makes a node with a join token.
func attest(t *testing.T) *node {
	t.Helper()
	token, err := agentv1.NewAgentClient(environment.Admin(t)).CreateJoinToken(patient(t),
		&agentv1.CreateJoinTokenRequest{Ttl: 600})
	require.NoError(t, err)
	key := newKey(t)
	result, err := attestWith(patient(t), t, token.Value, csr(t, key))
	require.NoError(t, err)
	require.False(t, result.Reattestable, "a token is used up")
	return newNode(t, result.Svid, key)
}

// attestWith plays the AttestAgent stream, without a client certificate.
func attestWith(
	ctx context.Context, t *testing.T, token string, csr []byte,
) (*agentv1.AttestAgentResponse_Result, error) {
	conn := dial(t, tlsconfig.TLSClientConfig(environment.Bundle(t), tlsconfig.AuthorizeID(serverID())))
	stream, err := agentv1.NewAgentClient(conn).AttestAgent(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&agentv1.AttestAgentRequest{Step: &agentv1.AttestAgentRequest_Params_{
		Params: &agentv1.AttestAgentRequest_Params{
			Data:   &types.AttestationData{Type: "join_token", Payload: []byte(token)},
			Params: &agentv1.AgentX509SVIDParams{Csr: csr},
		},
	}}))
	response, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	require.NotNil(t, response.GetResult(), "a join token needs no challenge")
	return response.GetResult(), nil
}

// newNode dials the server with an SVID.
func newNode(t *testing.T, issued *types.X509SVID, key crypto.Signer) *node {
	t.Helper()
	svid := parse(t, issued, key)
	return &node{svid: svid, conn: dial(t,
		tlsconfig.MTLSClientConfig(svid, environment.Bundle(t), tlsconfig.AuthorizeID(serverID())))}
}

func serverID() spiffeid.ID { return environment.ID("/spire/server") }

func (n *node) agents() agentv1.AgentClient { return agentv1.NewAgentClient(n.conn) }

func (n *node) id() *types.SPIFFEID { return id(n.svid.ID.Path()) }

func (n *node) serial() string { return n.svid.Certificates[0].SerialNumber.String() }

func dial(t *testing.T, config *tls.Config) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(environment.ServerAddress, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// parse checks an issued SVID against its key, its own words and the bundle.
func parse(t *testing.T, issued *types.X509SVID, key crypto.Signer) *x509svid.SVID {
	t.Helper()
	var chain []byte
	for _, certificate := range issued.CertChain {
		chain = append(chain, certificate...)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	svid, err := x509svid.ParseRaw(chain, keyBytes)
	require.NoError(t, err)
	require.Equal(t, issued.Id.TrustDomain, svid.ID.TrustDomain().Name())
	require.Equal(t, issued.Id.Path, svid.ID.Path())
	require.Equal(t, issued.ExpiresAt, svid.Certificates[0].NotAfter.Unix())
	_, _, err = x509svid.Verify(svid.Certificates, environment.Bundle(t))
	require.NoError(t, err)
	return svid
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// csr asks for a certificate, for some SPIFFE ID or for whatever the server decides.
func csr(t *testing.T, key crypto.Signer, ids ...spiffeid.ID) []byte {
	t.Helper()
	template := &x509.CertificateRequest{}
	for _, id := range ids {
		template.URIs = append(template.URIs, id.URL())
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	require.NoError(t, err)
	return der
}
