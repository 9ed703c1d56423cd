// Command workloadattestor is a SPIRE plugin that says of every process what its settings say, and misbehaves where
// they tell it to.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcl"
	"github.com/spiffe/spire-plugin-sdk/pluginmain"
	"github.com/spiffe/spire-plugin-sdk/pluginsdk"
	metricsv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/hostservice/common/metrics/v1"
	workloadattestorv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/agent/workloadattestor/v1"
	configv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/service/common/config/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var (
	_ pluginsdk.NeedsLogger       = (*Plugin)(nil)
	_ pluginsdk.NeedsHostServices = (*Plugin)(nil)
)

// Lines of a flood on each of its outputs.
const flooded = 50_000

// Config is what stands in plugin_data.
type Config struct {
	Selectors []string `hcl:"selectors"`
	// One of reference, pid, refuse, hang, exit, huge, nameless and flood; by pid and well without.
	Mode string `hcl:"mode"`

	trustDomain string
}

// Plugin implements the WorkloadAttestor plugin.
type Plugin struct {
	workloadattestorv1.UnimplementedWorkloadAttestorServer
	configv1.UnimplementedConfigServer

	configMtx sync.RWMutex
	config    *Config

	logger  hclog.Logger
	metrics metricsv1.MetricsServiceClient
}

func (p *Plugin) SetLogger(logger hclog.Logger) {
	p.logger = logger
}

func (p *Plugin) BrokerHostServices(broker pluginsdk.ServiceBroker) error {
	if !broker.BrokerClient(&p.metrics) {
		return status.Error(codes.FailedPrecondition, "Metrics host service is required")
	}
	return nil
}

func (p *Plugin) Attest(
	ctx context.Context,
	req *workloadattestorv1.AttestRequest,
) (*workloadattestorv1.AttestResponse, error) {
	config, err := p.getConfig()
	if err != nil {
		return nil, err
	}
	if config.Mode == "reference" {
		return nil, status.Error(codes.Unimplemented, "references only")
	}
	values, err := p.attest(ctx, config, fmt.Sprintf("pid:%d", req.Pid))
	return &workloadattestorv1.AttestResponse{SelectorValues: values}, err
}

func (p *Plugin) AttestReference(
	ctx context.Context,
	req *workloadattestorv1.AttestReferenceRequest,
) (*workloadattestorv1.AttestReferenceResponse, error) {
	config, err := p.getConfig()
	if err != nil {
		return nil, err
	}
	if config.Mode == "pid" {
		return nil, status.Error(codes.Unimplemented, "pids only")
	}
	values, err := p.attest(ctx, config, "reference:"+req.Reference.GetTypeUrl())
	if err == nil {
		for _, caller := range metadata.ValueFromIncomingContext(ctx, "spire-agent-broker-caller-id") {
			values = append(values, "caller:"+caller)
		}
	}
	return &workloadattestorv1.AttestReferenceResponse{SelectorValues: values}, err
}

func (p *Plugin) attest(ctx context.Context, config *Config, how string) ([]string, error) {
	p.logger.Info("attesting", "how", how, "trust_domain", config.trustDomain)
	switch config.Mode {
	case "refuse":
		return nil, status.Error(codes.PermissionDenied, "not that one")
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	case "exit":
		fmt.Fprintln(os.Stderr, "[ERROR] going down")
		os.Exit(3)
	case "huge":
		return []string{strings.Repeat("x", 100<<20)}, nil
	case "nameless":
		return []string{""}, nil
	case "flood":
		for n := range flooded {
			fmt.Fprintln(os.Stderr, "[WARN] flood", n)
			fmt.Println("flood", n)
		}
	}
	_, err := p.metrics.IncrCounter(ctx, &metricsv1.IncrCounterRequest{
		Key:    []string{"test_plugin", "attested"},
		Val:    1,
		Labels: []*metricsv1.Label{{Name: "mode", Value: "good"}},
	})
	if err != nil {
		return nil, err
	}
	fmt.Println("attested", how)
	return append([]string{how, "trust_domain:" + config.trustDomain}, config.Selectors...), nil
}

func (p *Plugin) Configure(_ context.Context, req *configv1.ConfigureRequest) (*configv1.ConfigureResponse, error) {
	config := new(Config)
	if err := hcl.Decode(config, req.HclConfiguration); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "failed to decode configuration: %v", err)
	}
	if config.Mode == "unusable" {
		return nil, status.Error(codes.InvalidArgument, "this mode cannot be used")
	}
	config.trustDomain = req.CoreConfiguration.TrustDomain
	p.configMtx.Lock()
	p.config = config
	p.configMtx.Unlock()
	return &configv1.ConfigureResponse{}, nil
}

func (p *Plugin) Close() error {
	p.logger.Info("closed")
	return nil
}

func (p *Plugin) getConfig() (*Config, error) {
	p.configMtx.RLock()
	defer p.configMtx.RUnlock()
	if p.config == nil {
		return nil, status.Error(codes.FailedPrecondition, "not configured")
	}
	return p.config, nil
}

func main() {
	plugin := new(Plugin)
	pluginmain.Serve(
		workloadattestorv1.WorkloadAttestorPluginServer(plugin),
		configv1.ConfigServiceServer(plugin),
	)
}
