package server

import (
	"testing"

	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	debugv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/debug/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	loggerv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/logger/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func TestGetInfo(t *testing.T) {
	admin := environment.Admin(t)
	info, err := debugv1.NewDebugClient(admin).GetInfo(patient(t), &debugv1.GetInfoRequest{})
	require.NoError(t, err)
	require.NotEmpty(t, info.SvidChain)
	require.Equal(t, "/spire/server", info.SvidChain[0].Id.Path)
	require.GreaterOrEqual(t, info.Uptime, int32(0))
	entries, err := entryv1.NewEntryClient(admin).CountEntries(patient(t), &entryv1.CountEntriesRequest{})
	require.NoError(t, err)
	agents, err := agentv1.NewAgentClient(admin).CountAgents(patient(t), &agentv1.CountAgentsRequest{})
	require.NoError(t, err)
	require.Equal(t, entries.Count, info.EntriesCount)
	require.Equal(t, agents.Count, info.AgentsCount)
}

func TestLogger(t *testing.T) {
	client := loggerv1.NewLoggerClient(environment.Admin(t))
	at := func(logger *types.Logger, err error) types.LogLevel {
		require.NoError(t, err)
		require.Equal(t, types.LogLevel_DEBUG, logger.LaunchLevel)
		return logger.CurrentLevel
	}
	require.Equal(t, types.LogLevel_DEBUG, at(client.GetLogger(patient(t), &loggerv1.GetLoggerRequest{})))
	set := &loggerv1.SetLogLevelRequest{NewLevel: types.LogLevel_WARN}
	require.Equal(t, types.LogLevel_WARN, at(client.SetLogLevel(patient(t), set)))
	require.Equal(t, types.LogLevel_WARN, at(client.GetLogger(patient(t), &loggerv1.GetLoggerRequest{})))
	require.Equal(t, types.LogLevel_DEBUG, at(client.ResetLogLevel(patient(t), &loggerv1.ResetLogLevelRequest{})))
	_, err := client.SetLogLevel(patient(t), &loggerv1.SetLogLevelRequest{})
	requireCode(t, codes.InvalidArgument, err)
}

func TestHealth(t *testing.T) {
	client := grpc_health_v1.NewHealthClient(environment.Admin(t))
	health, err := client.Check(patient(t), &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, health.Status)
}

func TestOperatorsOnlyOnTheSocket(t *testing.T) {
	n := attest(t)
	_, err := debugv1.NewDebugClient(n.conn).GetInfo(patient(t), &debugv1.GetInfoRequest{})
	requireCode(t, codes.Unimplemented, err)
	_, err = loggerv1.NewLoggerClient(n.conn).GetLogger(patient(t), &loggerv1.GetLoggerRequest{})
	requireCode(t, codes.Unimplemented, err)
}
