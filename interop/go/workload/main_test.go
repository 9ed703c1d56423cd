// Package workload tests the Workload API with go-spiffe.
package workload

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"github.com/stretchr/testify/require"

	"github.com/steeple-id/steeple/interop/go/fixture"
)

// What waits for the agent waits no longer.
const patience = 30 * time.Second

// Seconds. Half of its life, with the ten seconds by which it is backdated, is over five seconds after its issue.
const shortTTL = 20

var environment fixture.Environment

func TestMain(m *testing.M) {
	fixture.Main(m, &environment,
		fixture.Entry{Path: "/web", DNSNames: []string{"web.test", "www.web.test"}, Hint: "web"},
		fixture.Entry{Path: "/db", Hint: "db", X509SVIDTTL: 600, JWTSVIDTTL: 60},
		fixture.Entry{Path: "/short", Hint: "short", X509SVIDTTL: shortTTL},
	)
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func client(t *testing.T) *workloadapi.Client {
	c, err := workloadapi.New(patient(t), workloadapi.WithAddr(environment.AgentAddress()))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func options() workloadapi.SourceOption {
	return workloadapi.WithClientOptions(workloadapi.WithAddr(environment.AgentAddress()))
}

// x509Source is that of a workload which takes the SVID with this hint.
func x509Source(t *testing.T, hint string) *workloadapi.X509Source {
	source, err := workloadapi.NewX509Source(patient(t), options(), workloadapi.WithDefaultX509SVIDPicker(
		func(svids []*x509svid.SVID) *x509svid.SVID {
			for _, svid := range svids {
				if svid.Hint == hint {
					return svid
				}
			}
			return nil
		}))
	require.NoError(t, err)
	t.Cleanup(func() { source.Close() })
	return source
}

func jwtSource(t *testing.T) *workloadapi.JWTSource {
	source, err := workloadapi.NewJWTSource(patient(t), options(), workloadapi.WithDefaultJWTSVIDPicker(
		func(svids []*jwtsvid.SVID) *jwtsvid.SVID { return svids[0] }))
	require.NoError(t, err)
	t.Cleanup(func() { source.Close() })
	return source
}

// requireVerifies checks the chain of an SVID against the bundle, by the rules for SPIFFE and by Go's own.
func requireVerifies(t *testing.T, svid *x509svid.SVID) {
	t.Helper()
	id, _, err := x509svid.Verify(svid.Certificates, environment.Bundle(t))
	require.NoError(t, err)
	require.Equal(t, svid.ID, id)

	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, authority := range environment.Authorities(t) {
		roots.AddCert(authority)
	}
	for _, intermediate := range svid.Certificates[1:] {
		intermediates.AddCert(intermediate)
	}
	_, err = svid.Certificates[0].Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	require.NoError(t, err)
}
