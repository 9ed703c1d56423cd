// Command credentialcomposer is a SPIRE plugin that writes the SPIFFE ID's path into the common name.
package main

import (
	"context"
	"crypto/x509"
	"net/url"
	"strings"

	"github.com/spiffe/spire-plugin-sdk/pluginmain"
	credentialcomposerv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/server/credentialcomposer/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Plugin implements the CredentialComposer plugin.
type Plugin struct {
	credentialcomposerv1.UnimplementedCredentialComposerServer
}

func (p *Plugin) ComposeWorkloadX509SVID(
	_ context.Context,
	req *credentialcomposerv1.ComposeWorkloadX509SVIDRequest,
) (*credentialcomposerv1.ComposeWorkloadX509SVIDResponse, error) {
	id, err := url.Parse(req.SpiffeId)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "no SPIFFE ID: %v", err)
	}
	if _, err := x509.ParsePKIXPublicKey(req.PublicKey); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "no public key: %v", err)
	}
	if strings.HasPrefix(id.Path, "/forbidden") {
		return nil, status.Error(codes.PermissionDenied, "no name for that one")
	}
	attributes := req.Attributes
	attributes.Subject.CommonName = "named " + id.Path
	attributes.Subject.ExtraNames = append(attributes.Subject.ExtraNames,
		&credentialcomposerv1.AttributeTypeAndValue{Oid: "2.5.4.45", StringValue: "7"})
	return &credentialcomposerv1.ComposeWorkloadX509SVIDResponse{Attributes: attributes}, nil
}

func main() {
	pluginmain.Serve(credentialcomposerv1.CredentialComposerPluginServer(new(Plugin)))
}
