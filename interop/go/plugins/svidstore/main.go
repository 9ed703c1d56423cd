// Command svidstore is a SPIRE plugin that keeps each SVID in a file of a directory, and misbehaves where its settings
// tell it to.
package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/hashicorp/hcl"
	"github.com/spiffe/spire-plugin-sdk/pluginmain"
	svidstorev1 "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/agent/svidstore/v1"
	configv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/service/common/config/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Config is what stands in plugin_data.
type Config struct {
	Directory string `hcl:"directory"`
	// One of refuse, hang and exit; well without.
	Mode string `hcl:"mode"`
}

// Plugin implements the SVIDStore plugin.
type Plugin struct {
	svidstorev1.UnimplementedSVIDStoreServer
	configv1.UnimplementedConfigServer

	mtx    sync.RWMutex
	config *Config
}

// stored is what a file holds; bytes are base64.
type stored struct {
	SPIFFEID         string            `json:"spiffe_id"`
	CertChain        [][]byte          `json:"cert_chain"`
	PrivateKey       []byte            `json:"private_key"`
	Bundle           [][]byte          `json:"bundle"`
	ExpiresAt        int64             `json:"expires_at"`
	FederatedBundles map[string][]byte `json:"federated_bundles"`
	Metadata         []string          `json:"metadata"`
}

var plainName = regexp.MustCompile(`^[a-z0-9-]+$`)

func (p *Plugin) PutX509SVID(
	ctx context.Context,
	req *svidstorev1.PutX509SVIDRequest,
) (*svidstorev1.PutX509SVIDResponse, error) {
	path, err := p.path(ctx, req.Metadata)
	if err != nil {
		return nil, err
	}
	content, err := json.Marshal(stored{
		SPIFFEID:         req.Svid.SpiffeID,
		CertChain:        req.Svid.CertChain,
		PrivateKey:       req.Svid.PrivateKey,
		Bundle:           req.Svid.Bundle,
		ExpiresAt:        req.Svid.ExpiresAt,
		FederatedBundles: req.FederatedBundles,
		Metadata:         req.Metadata,
	})
	if err != nil {
		return nil, status.Errorf(codes.Internal, "unable to encode: %v", err)
	}
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return nil, status.Errorf(codes.Internal, "unable to write: %v", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, status.Errorf(codes.Internal, "unable to write: %v", err)
	}
	return &svidstorev1.PutX509SVIDResponse{}, nil
}

func (p *Plugin) DeleteX509SVID(
	ctx context.Context,
	req *svidstorev1.DeleteX509SVIDRequest,
) (*svidstorev1.DeleteX509SVIDResponse, error) {
	path, err := p.path(ctx, req.Metadata)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, status.Errorf(codes.Internal, "unable to remove: %v", err)
	}
	return &svidstorev1.DeleteX509SVIDResponse{}, nil
}

// path of the one file that an entry's selectors name, if it is a good day.
func (p *Plugin) path(ctx context.Context, metadata []string) (string, error) {
	p.mtx.RLock()
	config := p.config
	p.mtx.RUnlock()
	if config == nil {
		return "", status.Error(codes.FailedPrecondition, "not configured")
	}
	switch config.Mode {
	case "refuse":
		return "", status.Error(codes.PermissionDenied, "not today")
	case "hang":
		<-ctx.Done()
		return "", ctx.Err()
	case "exit":
		os.Exit(3)
	}
	for _, value := range metadata {
		if name, ok := strings.CutPrefix(value, "name:"); ok && plainName.MatchString(name) {
			return filepath.Join(config.Directory, name), nil
		}
	}
	return "", status.Error(codes.InvalidArgument, "a name is required")
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
		svidstorev1.SVIDStorePluginServer(plugin),
		configv1.ConfigServiceServer(plugin),
	)
}
