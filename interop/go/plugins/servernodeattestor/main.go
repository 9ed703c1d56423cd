// Command servernodeattestor is a SPIRE plugin: the server's half of an attestation by a shared word.
package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strconv"
	"sync"

	"github.com/hashicorp/hcl"
	"github.com/spiffe/spire-plugin-sdk/pluginmain"
	"github.com/spiffe/spire-plugin-sdk/pluginsdk"
	agentstorev1 "github.com/spiffe/spire-plugin-sdk/proto/spire/hostservice/server/agentstore/v1"
	identityproviderv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/hostservice/server/identityprovider/v1"
	nodeattestorv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/server/nodeattestor/v1"
	configv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/service/common/config/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var _ pluginsdk.NeedsHostServices = (*Plugin)(nil)

// Config is what stands in plugin_data.
type Config struct {
	Word string `hcl:"word"`

	trustDomain string
}

// Plugin implements the NodeAttestor plugin.
type Plugin struct {
	nodeattestorv1.UnimplementedNodeAttestorServer
	configv1.UnimplementedConfigServer

	configMtx sync.RWMutex
	config    *Config

	agents   agentstorev1.AgentStoreServiceClient
	identity identityproviderv1.IdentityProviderServiceClient
}

func (p *Plugin) BrokerHostServices(broker pluginsdk.ServiceBroker) error {
	if !broker.BrokerClient(&p.agents) || !broker.BrokerClient(&p.identity) {
		return status.Error(codes.FailedPrecondition, "AgentStore and IdentityProvider are required")
	}
	return nil
}

func (p *Plugin) Attest(stream nodeattestorv1.NodeAttestor_AttestServer) error {
	config, err := p.getConfig()
	if err != nil {
		return err
	}
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	node := string(req.GetPayload())
	challenge := make([]byte, 32)
	if _, err := rand.Read(challenge); err != nil {
		return status.Errorf(codes.Internal, "no challenge: %v", err)
	}
	err = stream.Send(&nodeattestorv1.AttestResponse{
		Response: &nodeattestorv1.AttestResponse_Challenge{Challenge: challenge},
	})
	if err != nil {
		return err
	}
	req, err = stream.Recv()
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(config.Word))
	mac.Write(challenge)
	if !hmac.Equal(mac.Sum(nil), req.GetChallengeResponse()) {
		return status.Errorf(codes.Unauthenticated, "node %q does not know the word", node)
	}

	id := fmt.Sprintf("spiffe://%s/spire/agent/word/%s", config.trustDomain, node)
	_, err = p.agents.GetAgentInfo(stream.Context(), &agentstorev1.GetAgentInfoRequest{AgentId: id})
	known := err == nil
	if err != nil && status.Code(err) != codes.NotFound {
		return err
	}
	own, err := p.serverID(stream.Context())
	if err != nil {
		return err
	}
	return stream.Send(&nodeattestorv1.AttestResponse{
		Response: &nodeattestorv1.AttestResponse_AgentAttributes{
			AgentAttributes: &nodeattestorv1.AgentAttributes{
				SpiffeId: id,
				SelectorValues: []string{
					"node:" + node,
					"known:" + strconv.FormatBool(known),
					"server:" + own,
					"ip:" + first(metadata.ValueFromIncomingContext(stream.Context(), "X-Forwarded-Client-IP")),
				},
				CanReattest: true,
			},
		},
	})
}

// serverID is the SPIFFE ID of the server's SVID, whose chain leads to the bundle.
func (p *Plugin) serverID(ctx context.Context) (string, error) {
	resp, err := p.identity.FetchX509Identity(ctx, &identityproviderv1.FetchX509IdentityRequest{})
	if err != nil {
		return "", err
	}
	leaf, err := x509.ParseCertificate(resp.Identity.CertChain[0])
	if err != nil {
		return "", status.Errorf(codes.Internal, "no leaf: %v", err)
	}
	if _, err := x509.ParsePKCS8PrivateKey(resp.Identity.PrivateKey); err != nil {
		return "", status.Errorf(codes.Internal, "no key: %v", err)
	}
	roots := x509.NewCertPool()
	for _, authority := range resp.Bundle.X509Authorities {
		root, err := x509.ParseCertificate(authority.Asn1)
		if err != nil {
			return "", status.Errorf(codes.Internal, "no root: %v", err)
		}
		roots.AddCert(root)
	}
	intermediates := x509.NewCertPool()
	for _, der := range resp.Identity.CertChain[1:] {
		intermediate, err := x509.ParseCertificate(der)
		if err != nil {
			return "", status.Errorf(codes.Internal, "no chain: %v", err)
		}
		intermediates.AddCert(intermediate)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates}); err != nil {
		return "", status.Errorf(codes.Internal, "the server's SVID: %v", err)
	}
	return leaf.URIs[0].String(), nil
}

func (p *Plugin) Configure(_ context.Context, req *configv1.ConfigureRequest) (*configv1.ConfigureResponse, error) {
	config, notes := read(req.HclConfiguration)
	if len(notes) > 0 {
		return nil, status.Error(codes.InvalidArgument, notes[0])
	}
	config.trustDomain = req.CoreConfiguration.TrustDomain
	p.configMtx.Lock()
	p.config = config
	p.configMtx.Unlock()
	return &configv1.ConfigureResponse{}, nil
}

func (p *Plugin) Validate(_ context.Context, req *configv1.ValidateRequest) (*configv1.ValidateResponse, error) {
	_, notes := read(req.HclConfiguration)
	return &configv1.ValidateResponse{Valid: len(notes) == 0, Notes: notes}, nil
}

func read(text string) (*Config, []string) {
	config := new(Config)
	if err := hcl.Decode(config, text); err != nil {
		return nil, []string{fmt.Sprintf("failed to decode configuration: %v", err)}
	}
	if config.Word == "" {
		return nil, []string{"word is required"}
	}
	return config, nil
}

func (p *Plugin) getConfig() (*Config, error) {
	p.configMtx.RLock()
	defer p.configMtx.RUnlock()
	if p.config == nil {
		return nil, status.Error(codes.FailedPrecondition, "not configured")
	}
	return p.config, nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func main() {
	plugin := new(Plugin)
	pluginmain.Serve(
		nodeattestorv1.NodeAttestorPluginServer(plugin),
		configv1.ConfigServiceServer(plugin),
	)
}
