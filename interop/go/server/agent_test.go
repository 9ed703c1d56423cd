package server

import (
	"testing"
	"time"

	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestCreateJoinToken(t *testing.T) {
	agents := agentv1.NewAgentClient(environment.Admin(t))
	token, err := agents.CreateJoinToken(patient(t), &agentv1.CreateJoinTokenRequest{Ttl: 600})
	require.NoError(t, err)
	require.Len(t, token.Value, 36, "a UUID")
	require.InDelta(t, time.Now().Unix()+600, token.ExpiresAt, 30)

	_, err = agents.CreateJoinToken(patient(t), &agentv1.CreateJoinTokenRequest{})
	requireCode(t, codes.InvalidArgument, err)
}

func TestCreateJoinTokenWithAlias(t *testing.T) {
	admin := environment.Admin(t)
	token, err := agentv1.NewAgentClient(admin).CreateJoinToken(patient(t),
		&agentv1.CreateJoinTokenRequest{Ttl: 600, Token: "my-token", AgentId: id("/nodes/mine")})
	require.NoError(t, err)
	require.Equal(t, "my-token", token.Value)

	listed, err := entryv1.NewEntryClient(admin).ListEntries(patient(t), &entryv1.ListEntriesRequest{
		Filter: &entryv1.ListEntriesRequest_Filter{BySpiffeId: id("/nodes/mine")},
	})
	require.NoError(t, err)
	require.Len(t, listed.Entries, 1)
	alias := listed.Entries[0]
	require.Equal(t, "/spire/agent/join_token/my-token", alias.ParentId.Path)
	require.Len(t, alias.Selectors, 1)
	require.Equal(t, "spiffe_id", alias.Selectors[0].Type)
	require.Equal(t, "spiffe://"+environment.TrustDomain+alias.ParentId.Path, alias.Selectors[0].Value)
}

func TestAttestAgent(t *testing.T) {
	n := attest(t)
	require.Regexp(t, "^/spire/agent/join_token/[0-9a-f-]{36}$", n.svid.ID.Path())
	leaf := n.svid.Certificates[0]
	require.Empty(t, leaf.DNSNames)
	require.Equal(t, time.Hour+10*time.Second, leaf.NotAfter.Sub(leaf.NotBefore))

	seen, err := agentv1.NewAgentClient(environment.Admin(t)).GetAgent(patient(t), &agentv1.GetAgentRequest{Id: n.id()})
	require.NoError(t, err)
	require.Equal(t, "join_token", seen.AttestationType)
	require.Equal(t, n.serial(), seen.X509SvidSerialNumber)
	require.Equal(t, leaf.NotAfter.Unix(), seen.X509SvidExpiresAt)
	require.False(t, seen.Banned)
	require.False(t, seen.CanReattest)
}

func TestAJoinTokenWorksOnce(t *testing.T) {
	token, err := agentv1.NewAgentClient(environment.Admin(t)).CreateJoinToken(patient(t),
		&agentv1.CreateJoinTokenRequest{Ttl: 600})
	require.NoError(t, err)
	_, err = attestWith(patient(t), t, token.Value, csr(t, newKey(t)))
	require.NoError(t, err)
	_, err = attestWith(patient(t), t, token.Value, csr(t, newKey(t)))
	requireCode(t, codes.InvalidArgument, err)
	_, err = attestWith(patient(t), t, "never-made", csr(t, newKey(t)))
	requireCode(t, codes.InvalidArgument, err)
}

func TestRenewAgent(t *testing.T) {
	old := attest(t)
	key := newKey(t)
	renewed, err := old.agents().RenewAgent(patient(t),
		&agentv1.RenewAgentRequest{Params: &agentv1.AgentX509SVIDParams{Csr: csr(t, key)}})
	require.NoError(t, err)
	fresh := newNode(t, renewed.Svid, key)
	require.Equal(t, old.svid.ID, fresh.svid.ID)
	require.NotEqual(t, old.serial(), fresh.serial())

	// Both work until the new one is used for the first time.
	_, err = old.agents().PostStatus(patient(t), &agentv1.PostStatusRequest{})
	require.NoError(t, err)
	_, err = fresh.agents().PostStatus(patient(t), &agentv1.PostStatusRequest{})
	require.NoError(t, err)
	_, err = old.agents().PostStatus(patient(t), &agentv1.PostStatusRequest{})
	requireDenied(t, types.PermissionDeniedDetails_AGENT_NOT_ACTIVE, err)

	seen, err := agentv1.NewAgentClient(environment.Admin(t)).GetAgent(patient(t), &agentv1.GetAgentRequest{Id: old.id()})
	require.NoError(t, err)
	require.Equal(t, fresh.serial(), seen.X509SvidSerialNumber)
}

func TestRenewAgentChecksTheRequest(t *testing.T) {
	n := attest(t)
	for _, params := range []*agentv1.AgentX509SVIDParams{nil, {}, {Csr: []byte("no CSR")}} {
		_, err := n.agents().RenewAgent(patient(t), &agentv1.RenewAgentRequest{Params: params})
		requireCode(t, codes.InvalidArgument, err)
	}
}

func TestPostStatus(t *testing.T) {
	n := attest(t)
	_, err := n.agents().PostStatus(patient(t), &agentv1.PostStatusRequest{AgentVersion: "1.2.3"})
	require.NoError(t, err)
	seen, err := agentv1.NewAgentClient(environment.Admin(t)).GetAgent(patient(t), &agentv1.GetAgentRequest{Id: n.id()})
	require.NoError(t, err)
	require.Equal(t, "1.2.3", seen.AgentVersion)
}

func TestListAndCountAgents(t *testing.T) {
	agents := agentv1.NewAgentClient(environment.Admin(t))
	before, err := agents.CountAgents(patient(t), &agentv1.CountAgentsRequest{})
	require.NoError(t, err)
	made := map[string]bool{}
	for range 3 {
		made[attest(t).svid.ID.Path()] = true
	}
	after, err := agents.CountAgents(patient(t), &agentv1.CountAgentsRequest{})
	require.NoError(t, err)
	require.Equal(t, before.Count+3, after.Count)

	// Page by page, as clients do: on to an empty page or token.
	seen := map[string]int{}
	for token := ""; ; {
		page, err := agents.ListAgents(patient(t), &agentv1.ListAgentsRequest{PageSize: 2, PageToken: token})
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Agents), 2)
		for _, agent := range page.Agents {
			seen[agent.Id.Path]++
		}
		if token = page.NextPageToken; token == "" || len(page.Agents) == 0 {
			break
		}
	}
	require.Len(t, seen, int(after.Count))
	for path := range made {
		require.Equal(t, 1, seen[path], path)
	}

	none, err := agents.ListAgents(patient(t), &agentv1.ListAgentsRequest{
		Filter:     &agentv1.ListAgentsRequest_Filter{ByAttestationType: "x509pop"},
		OutputMask: &types.AgentMask{},
	})
	require.NoError(t, err)
	require.Empty(t, none.Agents)
}

func TestBanAgent(t *testing.T) {
	agents := agentv1.NewAgentClient(environment.Admin(t))
	n := attest(t)
	_, err := agents.BanAgent(patient(t), &agentv1.BanAgentRequest{Id: n.id()})
	require.NoError(t, err)

	_, err = n.agents().PostStatus(patient(t), &agentv1.PostStatusRequest{})
	requireDenied(t, types.PermissionDeniedDetails_AGENT_BANNED, err)
	_, err = entryv1.NewEntryClient(n.conn).GetAuthorizedEntries(patient(t), &entryv1.GetAuthorizedEntriesRequest{})
	requireDenied(t, types.PermissionDeniedDetails_AGENT_BANNED, err)

	banned, err := agents.ListAgents(patient(t), &agentv1.ListAgentsRequest{
		Filter: &agentv1.ListAgentsRequest_Filter{ByBanned: wrapperspb.Bool(true)},
	})
	require.NoError(t, err)
	require.Len(t, banned.Agents, 1)
	require.Equal(t, n.id().Path, banned.Agents[0].Id.Path)
	require.True(t, banned.Agents[0].Banned)
}

func TestDeleteAgent(t *testing.T) {
	agents := agentv1.NewAgentClient(environment.Admin(t))
	n := attest(t)
	_, err := agents.DeleteAgent(patient(t), &agentv1.DeleteAgentRequest{Id: n.id()})
	require.NoError(t, err)
	_, err = n.agents().PostStatus(patient(t), &agentv1.PostStatusRequest{})
	requireDenied(t, types.PermissionDeniedDetails_AGENT_NOT_ATTESTED, err)
	_, err = agents.GetAgent(patient(t), &agentv1.GetAgentRequest{Id: n.id()})
	requireCode(t, codes.NotFound, err)
	_, err = agents.DeleteAgent(patient(t), &agentv1.DeleteAgentRequest{Id: n.id()})
	requireCode(t, codes.NotFound, err)
}

func TestAnAgentIsNoOperator(t *testing.T) {
	n := attest(t)
	_, err := n.agents().ListAgents(patient(t), &agentv1.ListAgentsRequest{})
	requireCode(t, codes.PermissionDenied, err)
	_, err = entryv1.NewEntryClient(n.conn).ListEntries(patient(t), &entryv1.ListEntriesRequest{})
	requireCode(t, codes.PermissionDenied, err)
}
