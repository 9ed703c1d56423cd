// Command bundlepublisher is a SPIRE plugin that writes a line about each bundle into a file.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/hashicorp/hcl"
	"github.com/spiffe/spire-plugin-sdk/pluginmain"
	bundlepublisherv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/server/bundlepublisher/v1"
	configv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/service/common/config/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Config is what stands in plugin_data.
type Config struct {
	Path string `hcl:"path"`
}

// Plugin implements the BundlePublisher plugin.
type Plugin struct {
	bundlepublisherv1.UnimplementedBundlePublisherServer
	configv1.UnimplementedConfigServer

	mtx    sync.Mutex
	config *Config
}

func (p *Plugin) PublishBundle(
	_ context.Context,
	req *bundlepublisherv1.PublishBundleRequest,
) (*bundlepublisherv1.PublishBundleResponse, error) {
	p.mtx.Lock()
	defer p.mtx.Unlock()
	if p.config == nil {
		return nil, status.Error(codes.FailedPrecondition, "not configured")
	}
	file, err := os.OpenFile(p.config.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "unable to write: %v", err)
	}
	defer file.Close()
	_, err = fmt.Fprintf(file, "published %s roots=%d keys=%d\n",
		req.Bundle.TrustDomain, len(req.Bundle.X509Authorities), len(req.Bundle.JwtAuthorities))
	return &bundlepublisherv1.PublishBundleResponse{}, err
}

func (p *Plugin) Configure(_ context.Context, req *configv1.ConfigureRequest) (*configv1.ConfigureResponse, error) {
	config := new(Config)
	if err := hcl.Decode(config, req.HclConfiguration); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "failed to decode configuration: %v", err)
	}
	p.mtx.Lock()
	p.config = config
	p.mtx.Unlock()
	return &configv1.ConfigureResponse{}, nil
}

func main() {
	plugin := new(Plugin)
	pluginmain.Serve(
		bundlepublisherv1.BundlePublisherPluginServer(plugin),
		configv1.ConfigServiceServer(plugin),
	)
}
