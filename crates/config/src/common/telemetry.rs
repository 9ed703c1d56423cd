//! `telemetry {}`: where metrics go.

use crate::section::Section;
use crate::unknown::UnknownKeys;
use crate::{ConfigError, DecodeError, HostPort};

/// Names are spelt as in the file, which spells them as Go's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySettings {
    pub prometheus: Option<PrometheusSettings>,
    pub dogstatsd: Vec<SinkSettings>,
    pub statsd: Vec<SinkSettings>,
    pub m3: Vec<SinkSettings>,
    pub in_mem: bool,
    /// Empty means `spire_server` or `spire_agent`.
    pub metric_prefix: String,
    pub trust_domain_label: bool,
    pub hostname_label: bool,
    pub allowed_prefixes: Vec<String>,
    pub blocked_prefixes: Vec<String>,
    pub allowed_labels: Vec<String>,
    pub blocked_labels: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusSettings {
    pub listen: HostPort,
    pub tls: Option<PrometheusTls>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrometheusTls {
    pub cert_file: String,
    pub key_file: String,
    /// Empty: no client certificate is asked for.
    pub client_ca_file: String,
    pub use_spire_svid: bool,
    pub authorized_spiffe_ids: Vec<String>,
}

/// A receiver of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkSettings {
    /// `host:port`.
    pub address: String,
    /// M3 only, and never empty there.
    pub env: String,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            prometheus: None,
            dogstatsd: Vec::new(),
            statsd: Vec::new(),
            m3: Vec::new(),
            in_mem: false,
            metric_prefix: String::new(),
            trust_domain_label: false,
            hostname_label: true,
            allowed_prefixes: Vec::new(),
            blocked_prefixes: Vec::new(),
            allowed_labels: Vec::new(),
            blocked_labels: Vec::new(),
        }
    }
}

/// What a file says about telemetry: the settings, with the Prometheus port not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TelemetryFile {
    settings: TelemetrySettings,
    prometheus: Option<PrometheusFile>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PrometheusFile {
    host: String,
    port: i64,
    tls: Option<PrometheusTls>,
}

impl TelemetryFile {
    pub(crate) fn read(file: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let mut telemetry = Self::default();
        let Some(mut section) = file.section("telemetry")? else {
            return Ok(telemetry);
        };
        telemetry.prometheus = PrometheusFile::read(&mut section, unknown)?;
        let defaults = TelemetrySettings::default();
        let mut texts = |key| section.texts(key).map(Option::unwrap_or_default);
        let [allowed_prefixes, blocked_prefixes] = [texts("AllowedPrefixes")?, texts("BlockedPrefixes")?];
        let [allowed_labels, blocked_labels] = [texts("AllowedLabels")?, texts("BlockedLabels")?];
        telemetry.settings = TelemetrySettings {
            prometheus: None,
            dogstatsd: read_sinks(&mut section, "DogStatsd", unknown)?,
            statsd: read_sinks(&mut section, "Statsd", unknown)?,
            m3: read_sinks(&mut section, "M3", unknown)?,
            in_mem: match section.section("InMem")? {
                Some(in_mem) => {
                    in_mem.finish("InMem", unknown);
                    true
                }
                None => false,
            },
            metric_prefix: section.text("MetricPrefix")?.unwrap_or_default(),
            trust_domain_label: section.flag("EnableTrustDomainLabel")?.unwrap_or(defaults.trust_domain_label),
            hostname_label: section.flag("EnableHostnameLabel")?.unwrap_or(defaults.hostname_label),
            allowed_prefixes,
            blocked_prefixes,
            allowed_labels,
            blocked_labels,
        };
        section.finish("telemetry", unknown);
        Ok(telemetry)
    }

    pub(crate) fn resolve(&self) -> Result<TelemetrySettings, ConfigError> {
        let mut settings = self.settings.clone();
        if let Some(nameless) = settings.m3.iter().find(|sink| sink.env.is_empty()) {
            let message = format!(
                "env common tag is required: name the environment of the M3 receiver at {:?}, such as env = \"prod\"",
                nameless.address
            );
            return Err(ConfigError::invalid("telemetry.M3.env", message));
        }
        if let Some(prometheus) = &self.prometheus {
            let host = if prometheus.host.is_empty() { "localhost" } else { &prometheus.host };
            let port = u16::try_from(prometheus.port).ok().filter(|port| *port > 0).ok_or_else(|| {
                let message = format!("telemetry.Prometheus.port {} is not a port from 1 to 65535", prometheus.port);
                ConfigError::invalid("telemetry.Prometheus.port", message)
            })?;
            if let Some(tls) = &prometheus.tls {
                tls.check()?;
            }
            settings.prometheus =
                Some(PrometheusSettings { listen: HostPort::new(host, port), tls: prometheus.tls.clone() });
        }
        Ok(settings)
    }
}

impl PrometheusTls {
    /// Whether the settings fit together, in SPIRE's words.
    fn check(&self) -> Result<(), ConfigError> {
        let (has_certificate, has_key) = (!self.cert_file.is_empty(), !self.key_file.is_empty());
        let message = match self.use_spire_svid {
            true if has_certificate || has_key => {
                "cert_file and key_file cannot be configured when use_spire_svid is enabled"
            }
            false if !has_certificate || !has_key => {
                "cert_file and key_file must both be configured unless use_spire_svid is enabled"
            }
            _ if !self.authorized_spiffe_ids.is_empty() && !self.client_ca_file.is_empty() => {
                "client_ca_file cannot be configured with authorized_spiffe_ids"
            }
            _ => return Ok(()),
        };
        let message = format!("failed to create TLS config for Prometheus: {message}");
        Err(ConfigError::invalid("telemetry.Prometheus.tls", message))
    }
}

impl PrometheusFile {
    fn read(telemetry: &mut Section<'_>, unknown: &mut Vec<UnknownKeys>) -> Result<Option<Self>, DecodeError> {
        let Some(mut section) = telemetry.section("Prometheus")? else {
            return Ok(None);
        };
        let mut prometheus = Self {
            host: section.text("host")?.unwrap_or_default(),
            port: section.int("port")?.unwrap_or_default(),
            tls: None,
        };
        if let Some(mut tls) = section.section("tls")? {
            prometheus.tls = Some(PrometheusTls {
                cert_file: tls.text("cert_file")?.unwrap_or_default(),
                key_file: tls.text("key_file")?.unwrap_or_default(),
                client_ca_file: tls.text("client_ca_file")?.unwrap_or_default(),
                use_spire_svid: tls.flag("use_spire_svid")?.unwrap_or_default(),
                authorized_spiffe_ids: tls.texts("authorized_spiffe_ids")?.unwrap_or_default(),
            });
            tls.finish("Prometheus TLS", unknown);
        }
        section.finish("Prometheus", unknown);
        Ok(Some(prometheus))
    }
}

fn read_sinks(
    telemetry: &mut Section<'_>,
    name: &'static str,
    unknown: &mut Vec<UnknownKeys>,
) -> Result<Vec<SinkSettings>, DecodeError> {
    let mut sinks = Vec::new();
    for mut section in telemetry.sections(name)? {
        let address = section.text("address")?.unwrap_or_default();
        let env = if name == "M3" { section.text("env")?.unwrap_or_default() } else { String::new() };
        section.finish(name, unknown);
        sinks.push(SinkSettings { address, env });
    }
    Ok(sinks)
}
