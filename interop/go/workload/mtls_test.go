package workload

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/stretchr/testify/require"
)

func TestMutualTLS(t *testing.T) {
	web, db := environment.ID("/web"), environment.ID("/db")
	cases := map[string]struct {
		server, client tlsconfig.Authorizer
		works          bool
	}{
		"both are whom the other expects": {tlsconfig.AuthorizeID(db), tlsconfig.AuthorizeID(web), true},
		"members of the trust domain": {tlsconfig.AuthorizeMemberOf(environment.Domain()),
			tlsconfig.AuthorizeMemberOf(environment.Domain()), true},
		"the server expects another": {tlsconfig.AuthorizeID(web), tlsconfig.AuthorizeID(web), false},
		"the client expects another": {tlsconfig.AuthorizeID(db), tlsconfig.AuthorizeID(db), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			served, seen, err := exchange(t, c.server, c.client)
			if !c.works {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, db, served, "the server knows its client")
			require.Equal(t, web, seen, "the client knows its server")
		})
	}
}

// exchange lets the workload db send a word to the workload web and read it back. Each tells whom it saw.
func exchange(t *testing.T, server, client tlsconfig.Authorizer) (served, seen spiffeid.ID, err error) {
	listener, err := spiffetls.ListenWithMode(patient(t), "tcp", "127.0.0.1:0",
		spiffetls.MTLSServerWithSource(server, x509Source(t, "web")))
	require.NoError(t, err)
	defer listener.Close()

	peers := make(chan spiffeid.ID, 1)
	go func() {
		defer close(peers)
		if conn, err := listener.Accept(); err == nil {
			defer conn.Close()
			echo(conn, peers)
		}
	}()
	conn, err := spiffetls.DialWithMode(patient(t), "tcp", listener.Addr().String(),
		spiffetls.MTLSClientWithSource(client, x509Source(t, "db")))
	if err != nil {
		return served, seen, err
	}
	defer conn.Close()
	// With TLS 1.3 a client learns only from the first read that the server does not want it.
	if _, err := conn.Write([]byte("hello")); err != nil {
		return served, seen, err
	}
	word := make([]byte, 5)
	if _, err := io.ReadFull(conn, word); err != nil {
		return served, seen, err
	}
	require.Equal(t, "hello", string(word))
	seen, err = spiffetls.PeerIDFromConn(conn)
	return <-peers, seen, err
}

func echo(conn net.Conn, peers chan<- spiffeid.ID) {
	word := make([]byte, 5)
	if _, err := io.ReadFull(conn, word); err != nil {
		return
	}
	if id, err := spiffetls.PeerIDFromConn(conn); err == nil {
		peers <- id
	}
	_, _ = conn.Write(word)
}

func TestPlainTLSByDNSName(t *testing.T) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", tlsconfig.TLSServerConfig(x509Source(t, "web")))
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	roots := x509.NewCertPool()
	for _, authority := range environment.Authorities(t) {
		roots.AddCert(authority)
	}
	for name, works := range map[string]bool{"web.test": true, "www.web.test": true, "db.test": false} {
		conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name})
		if works {
			require.NoError(t, err, name)
			conn.Close()
		} else {
			var wrong *tls.CertificateVerificationError
			require.ErrorAs(t, err, &wrong, name)
		}
	}
}
