package server

import (
	"fmt"
	"io"
	"testing"
	"time"

	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// create makes entries that go away with the test.
func create(t *testing.T, entries ...*types.Entry) []*types.Entry {
	t.Helper()
	client := entryv1.NewEntryClient(environment.Admin(t))
	response, err := client.BatchCreateEntry(patient(t), &entryv1.BatchCreateEntryRequest{Entries: entries})
	require.NoError(t, err)
	require.Len(t, response.Results, len(entries))
	var created []*types.Entry
	var ids []string
	for _, result := range response.Results {
		requireDone(t, result.Status)
		created = append(created, result.Entry)
		ids = append(ids, result.Entry.Id)
	}
	t.Cleanup(func() {
		_, err := client.BatchDeleteEntry(patient(t), &entryv1.BatchDeleteEntryRequest{Ids: ids})
		require.NoError(t, err)
	})
	return created
}

func entry(parent *types.SPIFFEID, path string) *types.Entry {
	return &types.Entry{ParentId: parent, SpiffeId: id(path), Selectors: selector(path)}
}

func TestEntryKeepsEveryField(t *testing.T) {
	wanted := &types.Entry{
		ParentId:    id("/parent"),
		SpiffeId:    id("/every/field"),
		Selectors:   []*types.Selector{{Type: "a", Value: "1"}, {Type: "b", Value: "2:3"}},
		X509SvidTtl: 120, JwtSvidTtl: 60,
		Admin: true, Downstream: true, StoreSvid: false,
		ExpiresAt: time.Now().Add(time.Hour).Unix(),
		DnsNames:  []string{"one.test", "two.test"},
		Hint:      "hint",
		AdditionalAttributes: &types.Entry_AdditionalAttributes{
			DisableX509SvidPrefetch: true, JwtSvidIncludeJti: true,
		},
	}
	created := create(t, wanted)[0]
	require.NotEmpty(t, created.Id)
	require.InDelta(t, time.Now().Unix(), created.CreatedAt, 30)
	got, err := entryv1.NewEntryClient(environment.Admin(t)).GetEntry(patient(t), &entryv1.GetEntryRequest{Id: created.Id})
	require.NoError(t, err)
	require.True(t, proto.Equal(created, got), "%v is not %v", created, got)

	wanted.Id, wanted.CreatedAt = created.Id, created.CreatedAt
	require.True(t, proto.Equal(wanted, got), "%v is not %v", wanted, got)
}

func TestCreateEntryTwice(t *testing.T) {
	first := create(t, entry(id("/parent"), "/twice"))[0]
	response, err := entryv1.NewEntryClient(environment.Admin(t)).BatchCreateEntry(patient(t),
		&entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{
			entry(id("/parent"), "/twice"), {ParentId: id("/parent"), SpiffeId: id("/no/selectors")},
		}})
	require.NoError(t, err)
	requireResult(t, codes.AlreadyExists, response.Results[0].Status)
	require.Equal(t, first.Id, response.Results[0].Entry.GetId(), "the entry that exists comes back")
	requireResult(t, codes.InvalidArgument, response.Results[1].Status)
}

func TestUpdateEntry(t *testing.T) {
	client := entryv1.NewEntryClient(environment.Admin(t))
	created := create(t, entry(id("/parent"), "/update"))[0]
	response, err := client.BatchUpdateEntry(patient(t), &entryv1.BatchUpdateEntryRequest{
		Entries: []*types.Entry{
			{Id: created.Id, Hint: "new", DnsNames: []string{"ignored.test"}},
			{Id: "none", Hint: "new"},
		},
		InputMask: &types.EntryMask{Hint: true},
	})
	require.NoError(t, err)
	requireDone(t, response.Results[0].Status)
	updated := response.Results[0].Entry
	require.Equal(t, created.RevisionNumber+1, updated.RevisionNumber)
	require.Equal(t, "new", updated.Hint)
	require.Empty(t, updated.DnsNames, "the mask did not name them")
	require.Equal(t, created.SpiffeId.Path, updated.SpiffeId.Path)
	requireResult(t, codes.NotFound, response.Results[1].Status)
}

func TestDeleteEntry(t *testing.T) {
	client := entryv1.NewEntryClient(environment.Admin(t))
	created, err := client.BatchCreateEntry(patient(t),
		&entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{entry(id("/parent"), "/delete")}})
	require.NoError(t, err)
	known := created.Results[0].Entry.Id
	response, err := client.BatchDeleteEntry(patient(t), &entryv1.BatchDeleteEntryRequest{Ids: []string{known, known}})
	require.NoError(t, err)
	requireDone(t, response.Results[0].Status)
	require.Equal(t, known, response.Results[0].Id)
	requireResult(t, codes.NotFound, response.Results[1].Status)
	_, err = client.GetEntry(patient(t), &entryv1.GetEntryRequest{Id: known})
	requireCode(t, codes.NotFound, err)
}

func TestListAndCountEntries(t *testing.T) {
	client := entryv1.NewEntryClient(environment.Admin(t))
	var wanted []*types.Entry
	for i := range 7 {
		wanted = append(wanted, entry(id("/listed"), fmt.Sprintf("/listed/%d", i)))
	}
	create(t, wanted...)
	counted, err := client.CountEntries(patient(t), &entryv1.CountEntriesRequest{
		Filter: &entryv1.CountEntriesRequest_Filter{ByParentId: id("/listed")},
	})
	require.NoError(t, err)
	require.Equal(t, int32(7), counted.Count)

	var paths []string
	for token := ""; ; {
		page, err := client.ListEntries(patient(t), &entryv1.ListEntriesRequest{
			Filter:   &entryv1.ListEntriesRequest_Filter{ByParentId: id("/listed")},
			PageSize: 3, PageToken: token,
			OutputMask: &types.EntryMask{SpiffeId: true},
		})
		require.NoError(t, err)
		for _, entry := range page.Entries {
			paths = append(paths, entry.SpiffeId.Path)
			require.Empty(t, entry.Selectors, "the mask did not name them")
		}
		if token = page.NextPageToken; token == "" || len(page.Entries) == 0 {
			break
		}
	}
	require.Len(t, paths, 7)
	require.Subset(t, paths, []string{"/listed/0", "/listed/6"})

	bySelectors, err := client.ListEntries(patient(t), &entryv1.ListEntriesRequest{
		Filter: &entryv1.ListEntriesRequest_Filter{BySelectors: &types.SelectorMatch{
			Selectors: selector("/listed/4"), Match: types.SelectorMatch_MATCH_EXACT,
		}},
	})
	require.NoError(t, err)
	require.Len(t, bySelectors.Entries, 1)
	require.Equal(t, "/listed/4", bySelectors.Entries[0].SpiffeId.Path)
}

func TestGetAuthorizedEntries(t *testing.T) {
	n := attest(t)
	create(t, entry(n.id(), "/mine"), entry(id("/mine"), "/mine/too"), entry(id("/other"), "/not/mine"))
	response, err := entryv1.NewEntryClient(n.conn).GetAuthorizedEntries(patient(t),
		&entryv1.GetAuthorizedEntriesRequest{})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"/mine", "/mine/too"}, pathsOf(response.Entries), "and what descends from them")
}

func TestSyncAuthorizedEntries(t *testing.T) {
	n := attest(t)
	create(t, entry(n.id(), "/sync/a"), entry(n.id(), "/sync/b"))
	stream, err := entryv1.NewEntryClient(n.conn).SyncAuthorizedEntries(patient(t))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&entryv1.SyncAuthorizedEntriesRequest{}))
	first, err := stream.Recv()
	require.NoError(t, err)
	require.False(t, first.More)
	require.ElementsMatch(t, []string{"/sync/a", "/sync/b"}, pathsOf(first.Entries), "few entries come at once")
	require.Empty(t, first.EntryRevisions)
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF, "there is nothing left to ask for")
}

func TestSyncManyAuthorizedEntries(t *testing.T) {
	// More than a page: revisions come first, and the agent asks for what it lacks.
	const many = 600
	n := attest(t)
	var wanted []*types.Entry
	for i := range many {
		wanted = append(wanted, entry(n.id(), fmt.Sprintf("/many/%d", i)))
	}
	create(t, wanted...)
	stream, err := entryv1.NewEntryClient(n.conn).SyncAuthorizedEntries(patient(t))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&entryv1.SyncAuthorizedEntriesRequest{}))
	var ids []string
	for more := true; more; {
		response, err := stream.Recv()
		require.NoError(t, err)
		require.Empty(t, response.Entries)
		for _, revision := range response.EntryRevisions {
			ids = append(ids, revision.Id)
		}
		more = response.More
	}
	require.Len(t, ids, many)

	require.NoError(t, stream.Send(&entryv1.SyncAuthorizedEntriesRequest{Ids: ids}))
	var paths []string
	for more := true; more; {
		response, err := stream.Recv()
		require.NoError(t, err)
		paths = append(paths, pathsOf(response.Entries)...)
		more = response.More
	}
	require.Len(t, paths, many)
}

func pathsOf(entries []*types.Entry) []string {
	var paths []string
	for _, entry := range entries {
		paths = append(paths, entry.SpiffeId.Path)
	}
	return paths
}
