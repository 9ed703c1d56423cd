// Package oidc verifies JWT-SVIDs as relying parties do: through the discovery provider, with a library that has never
// heard of SPIFFE.
package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"github.com/stretchr/testify/require"

	"github.com/steeple-id/steeple/interop/go/fixture"
)

const (
	host   = "issuer.test"
	issuer = "https://" + host
)

var environment fixture.Environment

func TestMain(m *testing.M) {
	os.Setenv("STEEPLE_FIXTURE_ISSUER", issuer)
	fixture.Main(m, &environment, fixture.Entry{Path: "/web"})
}

func TestARelyingPartyVerifies(t *testing.T) {
	for name, source := range map[string]string{
		"server socket": fmt.Sprintf(`server_api { address = "unix://%s" poll_interval = "1s" }`, environment.AdminSocket),
		"Workload API": fmt.Sprintf(`workload_api { socket_path = %q trust_domain = %q poll_interval = "1s" }`,
			environment.AgentSocket, environment.TrustDomain),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, client := startProvider(t, source)
			provider := discover(t, ctx, client)
			require.Empty(t, provider.Endpoint().AuthURL)

			token := fetch(t, "api")
			verified, err := provider.Verifier(&oidc.Config{ClientID: "api"}).Verify(ctx, token)
			require.NoError(t, err)
			require.Equal(t, environment.ID("/web").String(), verified.Subject)
			require.Equal(t, issuer, verified.Issuer)
			require.WithinDuration(t, time.Now().Add(5*time.Minute), verified.Expiry, 30*time.Second)

			_, err = provider.Verifier(&oidc.Config{ClientID: "other"}).Verify(ctx, token)
			require.ErrorContains(t, err, "audience")
		})
	}
}

// startProvider starts a discovery provider with a certificate of its own; the context reaches it under its name.
func startProvider(t *testing.T, source string) (context.Context, *http.Client) {
	dir := t.TempDir()
	roots := writeCertificate(t, dir)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	config := fmt.Sprintf(`domains = [%q]
		serving_cert_file {
			cert_file_path = %q
			key_file_path = %q
			addr = %q
		}
		%s
	`, host, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), address, source)
	path := filepath.Join(dir, "provider.conf")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	// The name by which it is called makes the server a provider.
	program := filepath.Join(dir, "oidc-discovery-provider")
	require.NoError(t, os.Symlink(environment.ServerProgram, program))
	cmd := exec.Command(program, "-config", path)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait())
	})

	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext:       dial,
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
	}}
	return oidc.ClientContext(t.Context(), client), client
}

// discover waits until the provider listens and has keys.
func discover(t *testing.T, ctx context.Context, client *http.Client) *oidc.Provider {
	var provider *oidc.Provider
	require.Eventually(t, func() bool {
		var err error
		provider, err = oidc.NewProvider(ctx, issuer)
		if err != nil {
			return false
		}
		response, err := client.Get(issuer + "/keys")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond)
	return provider
}

func fetch(t *testing.T, audience string) string {
	client, err := workloadapi.New(t.Context(), workloadapi.WithAddr("unix://"+environment.AgentSocket))
	require.NoError(t, err)
	defer client.Close()
	svid, err := client.FetchJWTSVID(t.Context(), jwtsvid.Params{Audience: audience, Subject: environment.ID("/web")})
	require.NoError(t, err)
	return svid.Marshal()
}

func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	write := func(name, kind string, der []byte) {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	write("cert.pem", "CERTIFICATE", der)
	write("key.pem", "PRIVATE KEY", keyDER)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return roots
}
