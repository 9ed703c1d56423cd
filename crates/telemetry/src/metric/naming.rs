//! SPIRE's spelling of names and label values.

/// The metric of an RPC, such as `rpc.agent.v1.agent.attest_agent`, from its HTTP/2 path, such as
/// `/spire.api.server.agent.v1.Agent/AttestAgent`.
pub fn rpc_name(path: &str) -> String {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let service = match service {
        "SpiffeWorkloadAPI" => "workload_api".to_owned(),
        "envoy.service.secret.v3.SecretDiscoveryService" => "sds.v3".to_owned(),
        "grpc.health.v1.Health" => "health".to_owned(),
        "spire.agent.debug.v1.Debug" => "debug".to_owned(),
        "spire.api.agent.delegatedidentity.v1.DelegatedIdentity" => "delegated_identity".to_owned(),
        "spire.api.agent.logger.v1.Logger" | "spire.api.server.logger.v1.Logger" => "logger".to_owned(),
        other => {
            let short = other.strip_prefix("spire.api.server.").unwrap_or(other);
            short.split('.').map(snake_case).collect::<Vec<_>>().join(".")
        }
    };
    let method = match method {
        // What SPIRE's rule makes of it is no word.
        "SubscribeToX509SVIDs" => "subscribe_to_x509_svids".to_owned(),
        other => snake_case(other),
    };
    format!("rpc.{service}.{method}")
}

/// Runs of anything but letters, digits and underscores, with an underscore that follows one, become one underscore
/// (`example.org` is `example_org`).
pub fn label_value(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut in_run = false;
    for c in text.chars() {
        let word = c.is_ascii_alphanumeric() || c == '_';
        match (word, in_run) {
            (true, true) if c == '_' => {}
            (true, _) => clean.push(c),
            (false, false) => clean.push('_'),
            (false, true) => {}
        }
        in_run = !word;
    }
    clean
}

/// Prometheus allows `[a-zA-Z0-9_:]` in names.
pub(super) fn metric_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | ':') { c } else { '_' }).collect()
}

/// A word begins at a capital that follows a small letter or comes before one, so `NewX509SVID` is `new_x509svid` and
/// `PrepareX509Authority` is `prepare_x509_authority`.
fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 8);
    for (at, c) in chars.iter().enumerate() {
        let after_small = at > 0 && chars[at - 1].is_ascii_lowercase();
        let before_small = chars.get(at + 1).is_some_and(char::is_ascii_lowercase);
        // A last letter begins no word (SPIRE behaviour).
        let begins = at > 0 && at + 1 < chars.len() && c.is_ascii_uppercase();
        if begins && (after_small || before_small) {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpcs_are_spelled_as_spire_spells_them() {
        for (path, name) in [
            ("/spire.api.server.agent.v1.Agent/AttestAgent", "rpc.agent.v1.agent.attest_agent"),
            ("/spire.api.server.svid.v1.SVID/BatchNewX509SVID", "rpc.svid.v1.svid.batch_new_x509svid"),
            ("/spire.api.server.svid.v1.SVID/NewJWTSVID", "rpc.svid.v1.svid.new_jwtsvid"),
            ("/spire.api.server.svid.v1.SVID/NewDownstreamX509CA", "rpc.svid.v1.svid.new_downstream_x509ca"),
            ("/spire.api.server.svid.v1.SVID/MintX509SVID", "rpc.svid.v1.svid.mint_x509svid"),
            (
                "/spire.api.server.localauthority.v1.LocalAuthority/PrepareX509Authority",
                "rpc.localauthority.v1.local_authority.prepare_x509_authority",
            ),
            (
                "/spire.api.server.localauthority.v1.LocalAuthority/ActivateJWTAuthority",
                "rpc.localauthority.v1.local_authority.activate_jwt_authority",
            ),
            ("/spire.api.server.bundle.v1.Bundle/GetBundle", "rpc.bundle.v1.bundle.get_bundle"),
            ("/grpc.health.v1.Health/Check", "rpc.health.check"),
            ("/SpiffeWorkloadAPI/FetchX509SVID", "rpc.workload_api.fetch_x509svid"),
            ("/SpiffeWorkloadAPI/FetchJWTBundles", "rpc.workload_api.fetch_jwt_bundles"),
            ("/SpiffeWorkloadAPI/FetchJWTSVID", "rpc.workload_api.fetch_jwtsvid"),
            ("/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets", "rpc.sds.v3.stream_secrets"),
            ("/spire.api.server.logger.v1.Logger/GetLogger", "rpc.logger.get_logger"),
            (
                "/spire.api.agent.delegatedidentity.v1.DelegatedIdentity/SubscribeToX509SVIDs",
                "rpc.delegated_identity.subscribe_to_x509_svids",
            ),
        ] {
            assert_eq!(rpc_name(path), name);
        }
    }

    #[test]
    fn label_values_are_words() {
        assert_eq!(label_value("example.org"), "example_org");
        assert_eq!(label_value("a -- b/c_1"), "a_b_c_1");
        assert_eq!(label_value("a-_b"), "a_b");
        assert_eq!(label_value("…"), "_");
        assert_eq!(label_value(""), "");
        assert_eq!(metric_name("a.b-c:d"), "a_b_c:d");
    }
}
