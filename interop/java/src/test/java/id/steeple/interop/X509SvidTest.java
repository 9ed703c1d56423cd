package id.steeple.interop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.spiffe.exception.BundleNotFoundException;
import io.spiffe.spiffeid.TrustDomain;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.svid.x509svid.X509SvidValidator;
import io.spiffe.workloadapi.Watcher;
import io.spiffe.workloadapi.X509Context;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** X.509-SVIDs. netty puts the bare path of the socket into `:authority`. */
class X509SvidTest {
    private static final Fixture FIXTURE = Fixture.INSTANCE;

    /** Types of subject alternative names, RFC 5280 section 4.2.1.6. */
    private static final int DNS_NAME = 2;

    private static final int URI = 6;

    private static X509Context fetch() throws Exception {
        try (var client = FIXTURE.client()) {
            return client.fetchX509Context();
        }
    }

    @Test
    void everySvidIsServed() throws Exception {
        Set<String> paths =
                fetch().getX509Svids().stream().map(svid -> svid.getSpiffeId().getPath()).collect(Collectors.toSet());
        assertEquals(Set.of("/web", "/db", "/short"), paths);
    }

    @Test
    void chainsVerifyAgainstTheBundle() throws Exception {
        X509Context context = fetch();
        assertEquals(FIXTURE.bundle(), context.getX509BundleSet().getBundleForTrustDomain(FIXTURE.trustDomain()));
        for (X509Svid svid : context.getX509Svids()) {
            X509SvidValidator.verifyChain(svid.getChain(), FIXTURE.bundle());
            X509SvidValidator.verifySpiffeId(svid.getLeaf(), () -> Set.of(svid.getSpiffeId()));
        }
    }

    @Test
    void profileOfACertificate() throws Exception {
        X509Certificate leaf = Fixture.withHint(fetch().getX509Svids(), "web").getLeaf();
        Map<Object, Object> names = leaf.getSubjectAlternativeNames().stream()
                .collect(Collectors.toMap(name -> name.get(0), name -> name.get(1)));
        assertEquals(Map.of(URI, FIXTURE.id("web").toString(), DNS_NAME, "web.test"), names);
        assertEquals(-1, leaf.getBasicConstraints(), "no CA");
        assertEquals(List.of("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"), leaf.getExtendedKeyUsage());
        boolean[] usage = leaf.getKeyUsage();
        assertTrue(usage[0], "digitalSignature");
        assertFalse(usage[5], "keyCertSign");
        assertEquals("CN=web.test, O=SPIRE, C=US", leaf.getSubjectX500Principal().toString());
        assertTrue(leaf.getSerialNumber().signum() > 0 && leaf.getSerialNumber().bitLength() <= 128);
    }

    @Test
    void theKeyBelongsToTheCertificate() throws Exception {
        byte[] words = {1, 2, 3};
        for (X509Svid svid : fetch().getX509Svids()) {
            Signature signing = Signature.getInstance("SHA256withECDSA");
            signing.initSign(svid.getPrivateKey());
            signing.update(words);
            Signature verifying = Signature.getInstance("SHA256withECDSA");
            verifying.initVerify(svid.getLeaf());
            verifying.update(words);
            assertTrue(verifying.verify(signing.sign()));
        }
    }

    @ParameterizedTest
    @CsvSource({"web,3600", "db,600", "short,20"})
    void lifetime(String hint, long ttl) throws Exception {
        X509Certificate leaf = Fixture.withHint(fetch().getX509Svids(), hint).getLeaf();
        Duration life = Duration.between(leaf.getNotBefore().toInstant(), leaf.getNotAfter().toInstant());
        assertEquals(Duration.ofSeconds(ttl + 10), life, "it begins ten seconds before its issue");
        leaf.checkValidity();
    }

    @Test
    void bundles() throws Exception {
        try (var client = FIXTURE.client()) {
            var bundles = client.fetchX509Bundles();
            assertEquals(Map.of(FIXTURE.trustDomain(), FIXTURE.bundle()), bundles.getBundles());
            var other = TrustDomain.parse("other.test");
            assertThrows(BundleNotFoundException.class, () -> bundles.getBundleForTrustDomain(other));
        }
    }

    @Test
    void rotationArrivesOnTheOpenStream() throws Exception {
        try (var client = FIXTURE.client()) {
            var updates = new Updates();
            client.watchX509Context(updates);
            X509Certificate before = Fixture.withHint(updates.next().getX509Svids(), "short").getLeaf();
            X509Svid after;
            do {
                after = Fixture.withHint(updates.next().getX509Svids(), "short");
            } while (after.getLeaf().getSerialNumber().equals(before.getSerialNumber()));

            assertFalse(Arrays.equals(before.getPublicKey().getEncoded(), after.getLeaf().getPublicKey().getEncoded()));
            assertTrue(after.getLeaf().getNotAfter().after(before.getNotAfter()));
            assertTrue(Instant.now().isBefore(before.getNotAfter().toInstant()), "it came in time");
            X509SvidValidator.verifyChain(after.getChain(), FIXTURE.bundle());
        }
    }

    @Test
    void aSourceGivesThePickedSvid() throws Exception {
        try (var source = FIXTURE.source("db")) {
            assertEquals(FIXTURE.id("db"), source.getX509Svid().getSpiffeId());
            assertArrayEquals(
                    FIXTURE.bundle().getX509Authorities().toArray(),
                    source.getBundleForTrustDomain(FIXTURE.trustDomain()).getX509Authorities().toArray());
        }
    }

    /** What an open stream says. */
    private static final class Updates implements Watcher<X509Context> {
        private final BlockingQueue<X509Context> queue = new LinkedBlockingQueue<>();

        @Override
        public void onUpdate(X509Context update) {
            queue.add(update);
        }

        @Override
        public void onError(Throwable error) {
            // The reader of the queue runs out of patience.
            error.printStackTrace();
        }

        X509Context next() throws InterruptedException {
            X509Context update = queue.poll(Fixture.PATIENCE.toSeconds(), TimeUnit.SECONDS);
            assertNotNull(update, "no update came");
            return update;
        }
    }
}
