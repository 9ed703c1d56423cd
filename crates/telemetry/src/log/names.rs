//! What SPIRE calls services in its log.

/// Service and method of a path such as `/spire.api.server.agent.v1.Agent/GetAgent`: `agent.v1.Agent` and `GetAgent`.
pub fn call_names(path: &str) -> (&str, &str) {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    let service = match service.strip_prefix("spire.api.server.").unwrap_or(service) {
        "SpiffeWorkloadAPI" => "WorkloadAPI",
        "envoy.service.secret.v3.SecretDiscoveryService" => "SDS.v3",
        "grpc.health.v1.Health" => "Health",
        "logger.v1.Logger" | "spire.api.agent.logger.v1.Logger" => "Logger",
        "spire.agent.debug.v1.Debug" => "Debug",
        "spire.api.agent.delegatedidentity.v1.DelegatedIdentity" => "DelegatedIdentity",
        other => other,
    };
    (service, method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_spires_names() {
        for (path, service, method) in [
            ("/spire.api.server.agent.v1.Agent/GetAgent", "agent.v1.Agent", "GetAgent"),
            ("/spire.api.server.logger.v1.Logger/GetLogger", "Logger", "GetLogger"),
            ("/SpiffeWorkloadAPI/FetchX509SVID", "WorkloadAPI", "FetchX509SVID"),
            ("/grpc.health.v1.Health/Check", "Health", "Check"),
            ("/steeple.server.v1.Cluster/List", "steeple.server.v1.Cluster", "List"),
            ("nonsense", "nonsense", ""),
        ] {
            assert_eq!(call_names(path), (service, method), "{path}");
        }
    }
}
