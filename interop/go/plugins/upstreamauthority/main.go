// Command upstreamauthority is a SPIRE plugin: an authority that keeps its roots in memory, and has another one each
// time that it is configured anew.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"

	"github.com/spiffe/spire-plugin-sdk/pluginmain"
	upstreamauthorityv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/server/upstreamauthority/v1"
	plugintypes "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/types"
	configv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/service/common/config/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type root struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Plugin implements the UpstreamAuthority plugin.
type Plugin struct {
	upstreamauthorityv1.UnimplementedUpstreamAuthorityServer
	configv1.UnimplementedConfigServer

	mtx     sync.Mutex
	roots   []root
	keys    []*plugintypes.JWTKey
	changed chan struct{}
}

func (p *Plugin) MintX509CAAndSubscribe(
	req *upstreamauthorityv1.MintX509CARequest,
	stream upstreamauthorityv1.UpstreamAuthority_MintX509CAAndSubscribeServer,
) error {
	csr, err := x509.ParseCertificateRequest(req.Csr)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "unable to parse CSR: %v", err)
	}
	ttl := time.Duration(req.PreferredTtl) * time.Second
	chain, err := p.sign(csr, ttl)
	if err != nil {
		return status.Errorf(codes.Internal, "unable to sign: %v", err)
	}
	for {
		roots, changed := p.current()
		err := stream.Send(&upstreamauthorityv1.MintX509CAResponse{X509CaChain: chain, UpstreamX509Roots: roots})
		if err != nil {
			return err
		}
		chain = nil
		select {
		case <-stream.Context().Done():
			return nil
		case <-changed:
		}
	}
}

func (p *Plugin) PublishJWTKeyAndSubscribe(
	req *upstreamauthorityv1.PublishJWTKeyRequest,
	stream upstreamauthorityv1.UpstreamAuthority_PublishJWTKeyAndSubscribeServer,
) error {
	p.mtx.Lock()
	p.keys = append(p.keys, req.JwtKey)
	keys := append([]*plugintypes.JWTKey(nil), p.keys...)
	p.mtx.Unlock()
	return stream.Send(&upstreamauthorityv1.PublishJWTKeyResponse{UpstreamJwtKeys: keys})
}

func (p *Plugin) Configure(context.Context, *configv1.ConfigureRequest) (*configv1.ConfigureResponse, error) {
	another, err := newRoot()
	if err != nil {
		return nil, status.Errorf(codes.Internal, "no root: %v", err)
	}
	p.mtx.Lock()
	p.roots = append(p.roots, another)
	if p.changed != nil {
		close(p.changed)
	}
	p.changed = make(chan struct{})
	p.mtx.Unlock()
	return &configv1.ConfigureResponse{}, nil
}

// current is all roots, and what is closed when there are others.
func (p *Plugin) current() ([]*plugintypes.X509Certificate, <-chan struct{}) {
	p.mtx.Lock()
	defer p.mtx.Unlock()
	var roots []*plugintypes.X509Certificate
	for _, root := range p.roots {
		roots = append(roots, &plugintypes.X509Certificate{Asn1: root.certificate.Raw})
	}
	return roots, p.changed
}

func (p *Plugin) sign(csr *x509.CertificateRequest, ttl time.Duration) ([]*plugintypes.X509Certificate, error) {
	p.mtx.Lock()
	issuer := p.roots[0]
	p.mtx.Unlock()
	spki, err := x509.MarshalPKIXPublicKey(csr.PublicKey)
	if err != nil {
		return nil, err
	}
	keyID := sha1.Sum(spki)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               csr.Subject,
		URIs:                  csr.URIs,
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(ttl),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		SubjectKeyId:          keyID[:],
	}, issuer.certificate, csr.PublicKey, issuer.key)
	if err != nil {
		return nil, err
	}
	return []*plugintypes.X509Certificate{{Asn1: der}}, nil
}

func newRoot() (root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return root{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "upstream"},
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(240 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return root{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return root{certificate: certificate, key: key}, err
}

func main() {
	plugin := new(Plugin)
	pluginmain.Serve(
		upstreamauthorityv1.UpstreamAuthorityPluginServer(plugin),
		configv1.ConfigServiceServer(plugin),
	)
}
