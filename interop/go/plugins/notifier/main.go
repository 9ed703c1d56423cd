// Command notifier is a SPIRE plugin that writes a line about each event into the file that its argument names. It has
// no settings.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/spiffe/spire-plugin-sdk/pluginmain"
	notifierv1 "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/server/notifier/v1"
	plugintypes "github.com/spiffe/spire-plugin-sdk/proto/spire/plugin/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Plugin implements the Notifier plugin.
type Plugin struct {
	notifierv1.UnimplementedNotifierServer

	mtx  sync.Mutex
	path string
}

func (p *Plugin) Notify(_ context.Context, req *notifierv1.NotifyRequest) (*notifierv1.NotifyResponse, error) {
	return &notifierv1.NotifyResponse{}, p.write("updated", req.GetBundleUpdated().GetBundle())
}

func (p *Plugin) NotifyAndAdvise(
	_ context.Context,
	req *notifierv1.NotifyAndAdviseRequest,
) (*notifierv1.NotifyAndAdviseResponse, error) {
	return &notifierv1.NotifyAndAdviseResponse{}, p.write("loaded", req.GetBundleLoaded().GetBundle())
}

func (p *Plugin) write(event string, bundle *plugintypes.Bundle) error {
	p.mtx.Lock()
	defer p.mtx.Unlock()
	file, err := os.OpenFile(p.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return status.Errorf(codes.Internal, "unable to write: %v", err)
	}
	defer file.Close()
	_, err = fmt.Fprintf(file, "%s %s\n", event, bundle.GetTrustDomain())
	return err
}

func main() {
	pluginmain.Serve(notifierv1.NotifierPluginServer(&Plugin{path: os.Args[1]}))
}
