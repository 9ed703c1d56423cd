package id.steeple.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.crypto.ECDSAVerifier;
import com.nimbusds.jwt.SignedJWT;
import io.spiffe.bundle.jwtbundle.JwtBundle;
import io.spiffe.exception.JwtSvidException;
import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.workloadapi.DefaultJwtSource;
import io.spiffe.workloadapi.JwtSourceOptions;
import io.spiffe.workloadapi.WorkloadApiClient;
import java.security.interfaces.ECPublicKey;
import java.time.Duration;
import java.time.Instant;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class JwtSvidTest {
    private static final Fixture FIXTURE = Fixture.INSTANCE;

    private WorkloadApiClient client;

    @BeforeEach
    void connect() throws Exception {
        client = FIXTURE.client();
    }

    @AfterEach
    void disconnect() throws Exception {
        client.close();
    }

    private JwtBundle bundle() throws Exception {
        return client.fetchJwtBundles().getBundleForTrustDomain(FIXTURE.trustDomain());
    }

    @Test
    void contents() throws Exception {
        JwtSvid svid = client.fetchJwtSvid(FIXTURE.id("db"), "api", "other");
        assertEquals(FIXTURE.id("db"), svid.getSpiffeId());
        assertEquals(Set.of("api", "other"), svid.getAudience());
        assertEquals("db", svid.getHint());
        Duration life = Duration.between(svid.getIssuedAt().toInstant(), svid.getExpiry().toInstant());
        assertEquals(Duration.ofSeconds(60), life);
        assertTrue(svid.getExpiry().toInstant().isAfter(Instant.now()));

        SignedJWT token = SignedJWT.parse(svid.getToken());
        assertEquals(JWSAlgorithm.ES256, token.getHeader().getAlgorithm());
        assertEquals("JWT", token.getHeader().getType().getType());
        assertEquals(svid.getAudience(), Set.copyOf(token.getJWTClaimsSet().getAudience()));
        var key = (ECPublicKey) bundle().findJwtAuthority(token.getHeader().getKeyID());
        assertTrue(token.verify(new ECDSAVerifier(key)));
    }

    @Test
    void aTokenVerifiesForItsAudienceOnly() throws Exception {
        String token = client.fetchJwtSvid(FIXTURE.id("web"), "api").getToken();
        assertEquals(FIXTURE.id("web"), JwtSvid.parseAndValidate(token, bundle(), Set.of("api")).getSpiffeId());
        JwtBundle bundle = bundle();
        assertThrows(JwtSvidException.class, () -> JwtSvid.parseAndValidate(token, bundle, Set.of("other")));
    }

    @Test
    void theAgentValidates() throws Exception {
        String token = client.fetchJwtSvid(FIXTURE.id("web"), "api").getToken();
        assertEquals(FIXTURE.id("web"), client.validateJwtSvid(token, "api").getSpiffeId());
        assertThrows(JwtSvidException.class, () -> client.validateJwtSvid(token, "other"));
        int middle = token.length() - 40;
        char other = token.charAt(middle) == 'A' ? 'B' : 'A';
        String forged = token.substring(0, middle) + other + token.substring(middle + 1);
        assertThrows(JwtSvidException.class, () -> client.validateJwtSvid(forged, "api"));
    }

    @Test
    void everyIdentityHasAToken() throws Exception {
        Set<String> paths = client.fetchJwtSvids("api").stream()
                .map(svid -> svid.getSpiffeId().getPath())
                .collect(Collectors.toSet());
        assertEquals(Set.of("/web", "/db", "/short"), paths);
    }

    @Test
    void aTokenForAnotherIsRefused() {
        assertThrows(JwtSvidException.class, () -> client.fetchJwtSvid(FIXTURE.id("none"), "api"));
    }

    @Test
    void aSource() throws Exception {
        var options = JwtSourceOptions.builder()
                .spiffeSocketPath(FIXTURE.socket())
                .initTimeout(Fixture.PATIENCE)
                .build();
        try (var source = DefaultJwtSource.newSource(options)) {
            String token = source.fetchJwtSvid(FIXTURE.id("web"), "api").getToken();
            assertEquals(FIXTURE.id("web"), JwtSvid.parseAndValidate(token, source, Set.of("api")).getSpiffeId());
        }
    }
}
