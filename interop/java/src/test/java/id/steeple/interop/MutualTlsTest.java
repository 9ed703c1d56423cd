package id.steeple.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.spiffe.provider.SpiffeSslContextFactory;
import io.spiffe.provider.SpiffeSslContextFactory.SslContextOptions;
import io.spiffe.spiffeid.SpiffeId;
import io.spiffe.workloadapi.X509Source;
import java.io.IOException;
import java.net.InetAddress;
import java.security.cert.X509Certificate;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.Test;

/** The workload db calls the workload web; each demands to see whom it expects. */
class MutualTlsTest {
    private static final Fixture FIXTURE = Fixture.INSTANCE;

    private static SSLContext context(X509Source source, String expected) throws Exception {
        var options = SslContextOptions.builder()
                .x509Source(source)
                .acceptedSpiffeIdsSupplier(() -> Set.of(FIXTURE.id(expected)))
                .build();
        return SpiffeSslContextFactory.getSslContext(options);
    }

    private static String peer(SSLSocket socket) throws Exception {
        var leaf = (X509Certificate) socket.getSession().getPeerCertificates()[0];
        return leaf.getSubjectAlternativeNames().stream()
                .map(name -> (String) name.get(1))
                .filter(name -> name.startsWith("spiffe:"))
                .findFirst()
                .orElseThrow();
    }

    /** Sends a byte from db to web and back; gives whom web and db saw. */
    private static SpiffeId[] exchange(String expectedByWeb, String expectedByDb) throws Exception {
        try (var web = FIXTURE.source("web");
                var db = FIXTURE.source("db")) {
            var factory = context(web, expectedByWeb).getServerSocketFactory();
            try (var listener = (SSLServerSocket) factory.createServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                listener.setNeedClientAuth(true);
                listener.setSoTimeout((int) Fixture.PATIENCE.toMillis());
                CompletableFuture<String> served = CompletableFuture.supplyAsync(() -> serve(listener));
                String seen;
                var sockets = context(db, expectedByDb).getSocketFactory();
                var address = listener.getInetAddress();
                try (var socket = (SSLSocket) sockets.createSocket(address, listener.getLocalPort())) {
                    socket.getOutputStream().write(7);
                    if (socket.getInputStream().read() != 7) {
                        throw new IOException("the server hung up");
                    }
                    seen = peer(socket);
                }
                String client = served.get(Fixture.PATIENCE.toSeconds(), TimeUnit.SECONDS);
                return new SpiffeId[] {SpiffeId.parse(client), SpiffeId.parse(seen)};
            }
        }
    }

    private static String serve(SSLServerSocket listener) {
        try (var socket = (SSLSocket) listener.accept()) {
            socket.getOutputStream().write(socket.getInputStream().read());
            return peer(socket);
        } catch (Exception error) {
            throw new CompletionException(error);
        }
    }

    @Test
    void bothAreWhomTheOtherExpects() throws Exception {
        SpiffeId[] seen = exchange("db", "web");
        assertEquals(FIXTURE.id("db"), seen[0]);
        assertEquals(FIXTURE.id("web"), seen[1]);
    }

    @Test
    void theServerExpectsAnother() {
        assertThrows(IOException.class, () -> exchange("web", "web"));
    }

    @Test
    void theClientExpectsAnother() {
        assertThrows(IOException.class, () -> exchange("db", "db"));
    }
}
