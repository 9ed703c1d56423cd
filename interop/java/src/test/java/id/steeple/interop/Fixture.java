package id.steeple.interop;

import com.nimbusds.jose.util.JSONObjectUtils;
import io.spiffe.bundle.x509bundle.X509Bundle;
import io.spiffe.spiffeid.SpiffeId;
import io.spiffe.spiffeid.TrustDomain;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.workloadapi.DefaultWorkloadApiClient;
import io.spiffe.workloadapi.DefaultX509Source;
import io.spiffe.workloadapi.WorkloadApiClient;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.text.ParseException;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/** A server and an agent for all tests (../README.md). They end with this process, which holds their standard input. */
final class Fixture {
    /** Half of its life, with the ten seconds by which it is backdated, is over five seconds after its issue. */
    static final Duration SHORT_TTL = Duration.ofSeconds(20);

    /** What waits for the agent waits no longer. */
    static final Duration PATIENCE = Duration.ofSeconds(30);

    static final Fixture INSTANCE = new Fixture();

    private final Map<String, Object> facts;

    private Fixture() {
        String program = System.getenv("STEEPLE_FIXTURE");
        if (program == null) {
            throw new IllegalStateException("STEEPLE_FIXTURE names no program: call `./x interop`");
        }
        var builder = new ProcessBuilder(
                program,
                "{\"path\": \"/web\", \"dns_names\": [\"web.test\"], \"hint\": \"web\"}",
                "{\"path\": \"/db\", \"hint\": \"db\", \"x509_svid_ttl\": 600, \"jwt_svid_ttl\": 60}",
                "{\"path\": \"/short\", \"hint\": \"short\", \"x509_svid_ttl\": " + SHORT_TTL.toSeconds() + "}");
        builder.redirectError(ProcessBuilder.Redirect.INHERIT);
        try {
            BufferedReader output = builder.start().inputReader();
            String line = output.readLine();
            if (line == null) {
                throw new IllegalStateException("the fixture said nothing");
            }
            facts = JSONObjectUtils.parse(line);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (ParseException error) {
            throw new IllegalStateException(error);
        }
    }

    String socket() {
        return "unix:" + facts.get("agent_socket");
    }

    TrustDomain trustDomain() {
        return TrustDomain.parse((String) facts.get("trust_domain"));
    }

    SpiffeId id(String name) {
        return SpiffeId.fromSegments(trustDomain(), name);
    }

    /** The trust domain's bundle at the start. */
    X509Bundle bundle() throws Exception {
        return X509Bundle.load(trustDomain(), Path.of((String) facts.get("bundle_path")));
    }

    WorkloadApiClient client() throws Exception {
        var options = DefaultWorkloadApiClient.ClientOptions.builder().spiffeSocketPath(socket()).build();
        return DefaultWorkloadApiClient.newClient(options);
    }

    /** That of a workload which takes the SVID with this hint. */
    DefaultX509Source source(String hint) throws Exception {
        var options = DefaultX509Source.X509SourceOptions.builder()
                .spiffeSocketPath(socket())
                .initTimeout(PATIENCE)
                .svidPicker(svids -> withHint(svids, hint))
                .build();
        return DefaultX509Source.newSource(options);
    }

    static X509Svid withHint(List<X509Svid> svids, String hint) {
        return svids.stream().filter(svid -> hint.equals(svid.getHint())).findFirst().orElseThrow();
    }
}
