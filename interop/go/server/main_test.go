// Package server tests the server's API with the clients of spire-api-sdk: as an operator on the admin socket, and as
// an agent over mutual TLS.
package server

import (
	"context"
	"testing"
	"time"

	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/steeple-id/steeple/interop/go/fixture"
)

// One call takes milliseconds; this is for a busy machine.
const patience = 30 * time.Second

var environment fixture.Environment

func TestMain(m *testing.M) {
	fixture.Main(m, &environment, fixture.Entry{Path: "/known"})
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func id(path string) *types.SPIFFEID {
	return &types.SPIFFEID{TrustDomain: environment.TrustDomain, Path: path}
}

func selector(value string) []*types.Selector {
	return []*types.Selector{{Type: "test", Value: value}}
}

func requireCode(t *testing.T, want codes.Code, err error) {
	t.Helper()
	require.Equal(t, want, status.Code(err), "%v", err)
}

// requireDone checks the result of an item of a batch.
func requireDone(t *testing.T, result *types.Status) {
	t.Helper()
	requireResult(t, codes.OK, result)
}

func requireResult(t *testing.T, want codes.Code, result *types.Status) {
	t.Helper()
	require.Equal(t, want, codes.Code(result.GetCode()), result.GetMessage())
}

// requireDenied checks the reason that tells an agent what to do next.
func requireDenied(t *testing.T, want types.PermissionDeniedDetails_Reason, err error) {
	t.Helper()
	requireCode(t, codes.PermissionDenied, err)
	details := status.Convert(err).Details()
	require.Len(t, details, 1)
	require.IsType(t, (*types.PermissionDeniedDetails)(nil), details[0])
	require.Equal(t, want, details[0].(*types.PermissionDeniedDetails).Reason)
}
