//! Where a bucket is, and who asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum, S3ConditionalPut};
use object_store::{BackoffConfig, RetryConfig};
use steeple_core::{Clock, Secret};

use crate::S3Error;
use crate::http::Connector;

/// What is `None` comes from the environment, by the names that AWS's own tools read (`AWS_REGION`,
/// `AWS_ENDPOINT_URL_S3` and so on), or has its default there.
#[derive(Debug)]
pub struct Access {
    pub bucket: String,
    /// `https://host[:port]`; that of AWS in the region by default. `http://` is for networks that are trusted.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// The bucket in the path, as most servers besides AWS have it, or before the host's name.
    pub path_style: bool,
    /// PEM; `None` trusts the roots of the operating system.
    pub ca_cert_path: Option<PathBuf>,
    /// `None`: the environment, a web identity token, or the metadata service of the container or machine.
    pub credentials: Option<Credentials>,
}

#[derive(Debug)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret,
}

impl Access {
    pub(crate) async fn connect(&self, clock: &Arc<dyn Clock>) -> Result<AmazonS3, S3Error> {
        let builder = self.addressed(AmazonS3Builder::from_env())?;
        let builder = match &self.credentials {
            None => builder,
            Some(credentials) => {
                let key = std::str::from_utf8(credentials.secret_access_key.expose());
                let key = key.map_err(|_| S3Error::settings("the secret access key is no text"))?;
                builder.with_access_key_id(&credentials.access_key_id).with_secret_access_key(key)
            }
        };
        let backoff = BackoffConfig { init_backoff: BACKOFF_MIN, max_backoff: BACKOFF_MAX, base: 2. };
        let store = builder
            .with_bucket_name(&self.bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT })
            .with_http_connector(Connector::new(self.ca_cert_path.clone(), Arc::clone(clock)).await?)
            .build();
        store.map_err(|error| S3Error::settings(error.to_string()))
    }

    fn addressed(&self, mut builder: AmazonS3Builder) -> Result<AmazonS3Builder, S3Error> {
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        let of_environment = || {
            let keys = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
            keys.iter().find_map(|key| builder.get_config_value(key))
        };
        let Some(endpoint) = self.endpoint.clone().or_else(of_environment) else {
            return Ok(builder.with_virtual_hosted_style_request(!self.path_style));
        };
        let endpoint = endpoint.trim_end_matches('/');
        let (scheme, host) = match endpoint.split_once("://") {
            Some((scheme @ ("https" | "http"), host)) if !host.is_empty() && !host.contains(['/', '?', '@']) => {
                (scheme, host)
            }
            _ => return Err(S3Error::settings(format!("the endpoint is {endpoint:?}: write https://host:port"))),
        };
        let addressed = match self.path_style {
            true => endpoint.to_owned(),
            false => format!("{scheme}://{}.{host}", self.bucket),
        };
        // Of the two keys this one decides, whatever the environment says.
        let builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, addressed);
        Ok(builder.with_allow_http(scheme == "http").with_virtual_hosted_style_request(!self.path_style))
    }
}

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Of one request. Whoever waits for a backup would rather hear of it, and the leader tries again by itself.
const RETRIES_MAX: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
