package workload

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"github.com/stretchr/testify/require"
)

// watcher passes on what an open FetchX509SVID stream says.
type watcher struct {
	updates chan *workloadapi.X509Context
	errors  chan error
}

func (w *watcher) OnX509ContextUpdate(update *workloadapi.X509Context) { w.updates <- update }

func (w *watcher) OnX509ContextWatchError(err error) {
	if !errors.Is(err, context.Canceled) {
		w.errors <- err
	}
}

func watch(t *testing.T) *watcher {
	w := &watcher{updates: make(chan *workloadapi.X509Context, 64), errors: make(chan error, 64)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	c := client(t)
	go func() {
		defer close(ended)
		_ = c.WatchX509Context(ctx, w)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return w
}

// wait returns the first update that is as wanted.
func (w *watcher) wait(t *testing.T, wanted func([]*x509svid.SVID) bool) *workloadapi.X509Context {
	t.Helper()
	limit := time.After(patience)
	for {
		select {
		case update := <-w.updates:
			if wanted(update.SVIDs) {
				return update
			}
		case err := <-w.errors:
			t.Fatalf("the stream broke: %v", err)
		case <-limit:
			t.Fatal("the update did not come")
		}
	}
}

func withPath(svids []*x509svid.SVID, path string) *x509svid.SVID {
	for _, svid := range svids {
		if svid.ID.Path() == path {
			return svid
		}
	}
	return nil
}

func TestRotationArrivesOnTheOpenStream(t *testing.T) {
	w := watch(t)
	before := withPath(w.wait(t, func(svids []*x509svid.SVID) bool { return withPath(svids, "/short") != nil }).SVIDs,
		"/short").Certificates[0]
	after := withPath(w.wait(t, func(svids []*x509svid.SVID) bool {
		svid := withPath(svids, "/short")
		return svid != nil && svid.Certificates[0].SerialNumber.Cmp(before.SerialNumber) != 0
	}).SVIDs, "/short")

	leaf := after.Certificates[0]
	require.False(t, leaf.PublicKey.(*ecdsa.PublicKey).Equal(before.PublicKey), "rotation brings a new key")
	require.True(t, leaf.NotAfter.After(before.NotAfter))
	require.True(t, time.Now().Before(before.NotAfter), "the old one was still good")
	requireVerifies(t, after)
}

func TestASourceFollowsRotation(t *testing.T) {
	source := x509Source(t, "short")
	before, err := source.GetX509SVID()
	require.NoError(t, err)
	ctx := patient(t)
	for {
		// Never is there a moment without a good SVID.
		svid, err := source.GetX509SVID()
		require.NoError(t, err)
		require.True(t, time.Now().Before(svid.Certificates[0].NotAfter))
		if svid.Certificates[0].SerialNumber.Cmp(before.Certificates[0].SerialNumber) != 0 {
			return
		}
		require.NoError(t, source.WaitUntilUpdated(ctx))
	}
}

func TestEntriesComeAndGoOnTheOpenStream(t *testing.T) {
	w := watch(t)
	w.wait(t, func(svids []*x509svid.SVID) bool { return withPath(svids, "/web") != nil })

	entries := entryv1.NewEntryClient(environment.Admin(t))
	agent := spiffeid.RequireFromString(environment.AgentID).Path()
	created, err := entries.BatchCreateEntry(patient(t), &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{{
		ParentId:  &types.SPIFFEID{TrustDomain: environment.TrustDomain, Path: agent},
		SpiffeId:  &types.SPIFFEID{TrustDomain: environment.TrustDomain, Path: "/late"},
		Selectors: []*types.Selector{{Type: "unix", Value: "uid:" + strconv.Itoa(os.Getuid())}},
	}}})
	require.NoError(t, err)
	require.Equal(t, int32(0), created.Results[0].Status.Code, created.Results[0].Status.Message)
	late := w.wait(t, func(svids []*x509svid.SVID) bool { return withPath(svids, "/late") != nil })
	requireVerifies(t, withPath(late.SVIDs, "/late"))

	_, err = entries.BatchDeleteEntry(patient(t), &entryv1.BatchDeleteEntryRequest{
		Ids: []string{created.Results[0].Entry.Id},
	})
	require.NoError(t, err)
	gone := w.wait(t, func(svids []*x509svid.SVID) bool { return withPath(svids, "/late") == nil })
	require.NotNil(t, withPath(gone.SVIDs, "/web"), "the others stay")
}
