//! A double of a Kubernetes API server, for what node attestation and bundle publishing ask of one: over real TLS,
//! with the answers that kube-apiserver gives, and with some that it should never give. Tests against it are tests
//! against a double.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::config_maps_double::ConfigMaps;
use crate::double::announce_double;

/// Serves until it is dropped.
pub struct KubernetesApiDouble {
    url: String,
    root_pem: String,
    cluster: Arc<Cluster>,
    task: JoinHandle<()>,
}

/// What a token says when it is reviewed.
#[derive(Clone, Debug)]
pub struct ServiceAccountToken {
    pub namespace: String,
    pub service_account: String,
    /// Name and UID; `None` for a token that belongs to no pod.
    pub pod: Option<(String, String)>,
    pub audience: String,
}

/// What is wrong with the answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    #[default]
    None,
    /// Whatever token it is, and for whomever it was made.
    KnowsNoAudiences,
    /// 403 for every change.
    Forbids,
    /// 500 with a text that is no JSON.
    Fails,
    /// Never comes.
    Hangs,
    /// 100 MiB.
    Endless,
}

#[derive(Default)]
struct Cluster {
    state: Mutex<State>,
    endless_bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    tokens: BTreeMap<String, ServiceAccountToken>,
    /// By path.
    objects: BTreeMap<String, Value>,
    config_maps: ConfigMaps,
    /// User, namespace and name of the pods that may be impersonated.
    impersonations: BTreeSet<(String, String, String)>,
    trouble: Trouble,
}

impl KubernetesApiDouble {
    pub async fn start() -> anyhow::Result<Self> {
        announce_double("the Kubernetes API server");
        let authority_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_pem = params.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let cluster = Arc::new(Cluster::default());
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&cluster)));
        Ok(Self { url, root_pem, cluster, task })
    }

    /// A file with its address, its root and the one token that it lets in.
    pub fn write_kubeconfig(&self, dir: &Path) -> anyhow::Result<PathBuf> {
        let root = STANDARD.encode(&self.root_pem);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "c", "cluster": { "server": self.url, "certificate-authority-data": root } }],
            "users": [{ "name": "u", "user": { "token": API_TOKEN } }],
            "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
            "current-context": "x",
        });
        let path = dir.join("kubeconfig");
        // JSON is YAML.
        std::fs::write(&path, config.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// What a pod finds in `/var/run/secrets/kubernetes.io/serviceaccount`, in `dir`, and in its environment.
    pub fn write_service_account(&self, dir: &Path, namespace: &str) -> anyhow::Result<[(&'static str, String); 2]> {
        for (name, text) in [("token", API_TOKEN), ("ca.crt", &self.root_pem), ("namespace", namespace)] {
            std::fs::write(dir.join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        let address = self.url.trim_start_matches("https://");
        let (host, port) = address.rsplit_once(':').context("an address with a port")?;
        Ok([("KUBERNETES_SERVICE_HOST", host.to_owned()), ("KUBERNETES_SERVICE_PORT", port.to_owned())])
    }

    /// What a server's configuration has between the braces of `plugins`: it knows the double as the cluster `test`,
    /// whose agents are `spire:spire-agent`.
    pub fn server_block(&self, dir: &Path) -> anyhow::Result<String> {
        let kubeconfig = self.write_kubeconfig(dir)?;
        Ok(format!(
            "NodeAttestor \"k8s_psat\" {{\n plugin_data {{\n clusters = {{\n \"test\" = {{\n \
             service_account_allow_list = [\"spire:spire-agent\"]\n kube_config_file = {kubeconfig:?}\n \
             allowed_node_label_keys = [\"zone\"]\n }}\n }}\n }}\n}}\n"
        ))
    }

    /// A token of the pod `spire/agent-1` on `node-1`, both there: their UIDs are `pod-uid` and `node-uid`.
    pub fn put_agent(&self, token: &str) {
        self.put_node("node-1", "node-uid", &[("zone", "a"), ("secret", "x")]);
        self.put_pod("spire", "agent-1", "pod-uid", "node-1", &[("app", "agent"), ("hash", "y")]);
        self.put_token(token, ServiceAccountToken::of_agent());
    }

    pub fn put_token(&self, token: &str, says: ServiceAccountToken) {
        self.cluster.state.lock().tokens.insert(token.to_owned(), says);
    }

    pub fn put_node(&self, name: &str, uid: &str, labels: &[(&str, &str)]) {
        let node = json!({
            "kind": "Node", "apiVersion": "v1", "metadata": metadata(name, uid, labels),
            "spec": { "podCIDR": "10.244.0.0/24" },
            "status": { "nodeInfo": node_info(), "addresses": [{ "type": "InternalIP", "address": "172.16.10.1" }] },
        });
        self.put(format!("/api/v1/nodes/{name}"), node);
    }

    /// Runs on `node`, whose address is 172.16.10.1.
    pub fn put_pod(&self, namespace: &str, name: &str, uid: &str, node: &str, labels: &[(&str, &str)]) {
        let mut metadata = metadata(name, uid, labels);
        metadata["namespace"] = json!(namespace);
        let pod = json!({
            "kind": "Pod", "apiVersion": "v1", "metadata": metadata,
            "spec": { "nodeName": node, "containers": [{ "name": "spire-agent", "image": "spire-agent:1.15" }] },
            "status": { "phase": "Running", "hostIP": "172.16.10.1", "podIP": "10.244.0.7" },
        });
        self.put(format!("/api/v1/namespaces/{namespace}/pods/{name}"), pod);
    }

    pub fn delete_pod(&self, namespace: &str, name: &str) {
        self.cluster.state.lock().objects.remove(&format!("/api/v1/namespaces/{namespace}/pods/{name}"));
    }

    /// What a server's configuration has between the braces of `plugins`: the bundle in the format `spiffe` under the
    /// key `bundle` of the ConfigMap `spire/spire-bundle`.
    pub fn publisher_block(&self, dir: &Path) -> anyhow::Result<String> {
        let kubeconfig = self.write_kubeconfig(dir)?;
        Ok(format!(
            "BundlePublisher \"k8s_configmap\" {{\n plugin_data {{\n clusters = {{\n \"test\" = {{\n \
             namespace = \"spire\"\n configmap_name = \"spire-bundle\"\n configmap_key = \"bundle\"\n \
             format = \"spiffe\"\n kubeconfig_path = {kubeconfig:?}\n }}\n }}\n }}\n}}\n"
        ))
    }

    /// Somebody else's, under the name that it gives itself.
    pub fn put_config_map(&self, namespace: &str, name: &str, (key, value): (&str, &str), manager: &str) {
        self.cluster.state.lock().config_maps.put(config_map_path(namespace, name), key, value, manager);
    }

    pub fn delete_config_map(&self, namespace: &str, name: &str) {
        self.cluster.state.lock().config_maps.remove(&config_map_path(namespace, name));
    }

    /// What stands under `key`.
    pub fn config_map(&self, namespace: &str, name: &str, key: &str) -> Option<String> {
        self.cluster.state.lock().config_maps.value(&config_map_path(namespace, name), key)
    }

    /// A SubjectAccessReview says from now on that `user` has `impersonate-via-spire` on this pod.
    pub fn allow_impersonation(&self, user: &str, namespace: &str, pod: &str) {
        let allowed = (user.to_owned(), namespace.to_owned(), pod.to_owned());
        self.cluster.state.lock().impersonations.insert(allowed);
    }

    pub fn set_trouble(&self, trouble: Trouble) {
        self.cluster.state.lock().trouble = trouble;
    }

    /// What was taken of endless answers.
    pub fn endless_bytes(&self) -> u64 {
        self.cluster.endless_bytes.load(Ordering::Relaxed)
    }

    fn put(&self, path: String, object: Value) {
        self.cluster.state.lock().objects.insert(path, object);
    }
}

impl Drop for KubernetesApiDouble {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, cluster: Arc<Cluster>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, cluster) = (acceptor.clone(), Arc::clone(&cluster));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let cluster = Arc::clone(&cluster);
                async move { Ok::<_, Infallible>(cluster.answer(request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Cluster {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        let trouble = self.state.lock().trouble;
        match trouble {
            Trouble::Fails => return whole(StatusCode::INTERNAL_SERVER_ERROR, "etcdserver: request timed out".into()),
            Trouble::Hangs => return std::future::pending().await,
            Trouble::Endless => return self.endless(),
            Trouble::None | Trouble::Forbids | Trouble::KnowsNoAudiences => {}
        }
        let bearer = format!("Bearer {API_TOKEN}");
        if request.headers().get(AUTHORIZATION).is_none_or(|value| value.as_bytes() != bearer.as_bytes()) {
            return failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized".into());
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if method == Method::POST && path == "/apis/authentication.k8s.io/v1/tokenreviews" {
            let is_protobuf = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == PROTOBUF);
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let spec = if is_protobuf { spec_in_protobuf(&body) } else { spec_in_json(&body) };
            let Some(spec) = spec else {
                return failure(StatusCode::BAD_REQUEST, "BadRequest", "the body is no TokenReview".into());
            };
            return whole(StatusCode::CREATED, self.reviewed(spec, trouble).to_string().into());
        }
        if method == Method::POST && path == "/apis/authorization.k8s.io/v1/subjectaccessreviews" {
            return self.access_reviewed(request, trouble).await;
        }
        if method == Method::PATCH {
            return self.patched(request, &path, trouble).await;
        }
        if method == Method::POST && path.ends_with("/configmaps") {
            return self.created(request, &path, trouble).await;
        }
        let found = {
            let state = self.state.lock();
            state.objects.get(&path).cloned().or_else(|| state.config_maps.get(&path))
        };
        match found {
            Some(object) if method == Method::GET => whole(StatusCode::OK, object.to_string().into()),
            _ => {
                let mut segments = path.rsplit('/');
                let (name, kind) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
                failure(StatusCode::NOT_FOUND, "NotFound", format!("{kind} \"{name}\" not found"))
            }
        }
    }

    /// Server-side apply, and of ConfigMaps only.
    async fn patched(
        &self,
        request: Request<Incoming>,
        path: &str,
        trouble: Trouble,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        let mut segments = path.rsplit('/');
        let (name, kind) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        if trouble == Trouble::Forbids {
            let namespace = segments.next().unwrap_or_default();
            let why = "User \"system:serviceaccount:spire:spire-server\" cannot patch resource";
            let message = format!(
                "{kind} \"{name}\" is forbidden: {why} \"{kind}\" in API group \"\" in the namespace \"{namespace}\""
            );
            return failure(StatusCode::FORBIDDEN, "Forbidden", message);
        }
        let is_apply = request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == APPLY);
        if kind != "configmaps" || !is_apply {
            return failure(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "no apply of a ConfigMap".into(),
            );
        }
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
        let manager = parameters.find(|(key, _)| *key == "fieldManager").map(|(_, value)| value.to_owned());
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let applied = self.state.lock().config_maps.apply(path, &manager.unwrap_or_default(), &body);
        match applied {
            Ok(object) => whole(StatusCode::OK, object.to_string().into()),
            Err(refusal) => failure(refusal.code, refusal.reason, refusal.message),
        }
    }

    /// ConfigMaps only.
    async fn created(
        &self,
        request: Request<Incoming>,
        path: &str,
        trouble: Trouble,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        if trouble == Trouble::Forbids {
            let why = "User \"system:serviceaccount:spire:spire-server\" cannot create resource";
            let message = format!("configmaps is forbidden: {why} \"configmaps\" in API group \"\"");
            return failure(StatusCode::FORBIDDEN, "Forbidden", message);
        }
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let created = self.state.lock().config_maps.create(path, "client", &body);
        match created {
            Ok(object) => whole(StatusCode::CREATED, object.to_string().into()),
            Err(refusal) => failure(refusal.code, refusal.reason, refusal.message),
        }
    }

    /// A SubjectAccessReview with the status that the authorizer fills in.
    async fn access_reviewed(
        &self,
        request: Request<Incoming>,
        trouble: Trouble,
    ) -> Response<BoxBody<Bytes, Infallible>> {
        if trouble == Trouble::Forbids {
            let why = "User \"system:serviceaccount:spire:spire-agent\" cannot create resource";
            let message = format!("subjectaccessreviews is forbidden: {why}");
            return failure(StatusCode::FORBIDDEN, "Forbidden", message);
        }
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let Ok(mut review) = serde_json::from_slice::<Value>(&body) else {
            return failure(StatusCode::BAD_REQUEST, "BadRequest", "the body is no SubjectAccessReview".into());
        };
        let text = |path: &str| review.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let of = |key: &str| text(&format!("/spec/resourceAttributes/{key}"));
        let subject = (text("/spec/user"), of("namespace"), of("name"));
        let is_pod = (of("group").as_str(), of("resource").as_str()) == ("", "pods");
        let known = self.state.lock().impersonations.contains(&subject);
        let allowed = known && is_pod && of("verb") == "impersonate-via-spire";
        review["status"] = json!({ "allowed": allowed });
        whole(StatusCode::CREATED, review.to_string().into())
    }

    /// A TokenReview with the status that the token authenticator fills in.
    fn reviewed(&self, spec: Spec, trouble: Trouble) -> Value {
        let token = self.state.lock().tokens.get(&spec.token).cloned();
        let wanted = spec.audiences.clone();
        let wanted = if wanted.is_empty() { vec![API_AUDIENCE.to_owned()] } else { wanted };
        let status = match token {
            None => {
                let why = "square/go-jose: error in cryptographic primitive";
                json!({ "user": {}, "error": format!("[invalid bearer token, {why}]") })
            }
            Some(token) if trouble == Trouble::KnowsNoAudiences => {
                json!({ "authenticated": true, "user": token.user() })
            }
            Some(token) if !wanted.contains(&token.audience) => {
                let why =
                    format!("token audiences {:?} is invalid for the target audiences {wanted:?}", [&token.audience]);
                json!({ "user": {}, "error": format!("[invalid bearer token, {why}]") })
            }
            Some(token) => json!({ "authenticated": true, "user": token.user(), "audiences": [token.audience] }),
        };
        json!({
            "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
            "spec": { "token": spec.token, "audiences": spec.audiences }, "status": status,
        })
    }

    fn endless(self: Arc<Self>) -> Response<BoxBody<Bytes, Infallible>> {
        let chunk = Bytes::from(vec![b' '; CHUNK_BYTES]);
        let chunks = tokio_stream::iter((0..ENDLESS_BYTES / CHUNK_BYTES).map(move |_| {
            self.endless_bytes.fetch_add(CHUNK_BYTES as u64, Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(chunk.clone()))
        }));
        Response::new(BodyExt::boxed(StreamBody::new(chunks)))
    }
}

impl ServiceAccountToken {
    /// What [`KubernetesApiDouble::put_agent`] has.
    pub fn of_agent() -> Self {
        Self {
            namespace: "spire".to_owned(),
            service_account: "spire-agent".to_owned(),
            pod: Some(("agent-1".to_owned(), "pod-uid".to_owned())),
            audience: "spire-server".to_owned(),
        }
    }

    fn user(&self) -> Value {
        let mut user = json!({
            "username": format!("system:serviceaccount:{}:{}", self.namespace, self.service_account),
            "uid": "1881e84f-b612-11e8-a543-0800272c6e42",
            "groups": ["system:serviceaccounts", "system:authenticated"],
        });
        if let Some((name, uid)) = &self.pod {
            user["extra"] = json!({
                "authentication.kubernetes.io/pod-name": [name],
                "authentication.kubernetes.io/pod-uid": [uid],
            });
        }
        user
    }
}

/// Of a TokenReview: the numbers are those of Kubernetes' generated.proto.
#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Spec {
    #[prost(string, tag = "1")]
    token: String,
    #[serde(default)]
    #[prost(string, repeated, tag = "2")]
    audiences: Vec<String>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Review {
    #[prost(message, optional, tag = "2")]
    spec: Option<Spec>,
}

/// `runtime.Unknown`, what objects are wrapped in.
#[derive(Clone, PartialEq, prost::Message)]
struct Wrapped {
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

fn spec_in_json(body: &[u8]) -> Option<Spec> {
    serde_json::from_slice::<Review>(body).ok()?.spec
}

/// As Go's clients send it.
fn spec_in_protobuf(body: &[u8]) -> Option<Spec> {
    let wrapped = Wrapped::decode(body.strip_prefix(PROTOBUF_MAGIC)?).ok()?;
    Review::decode(wrapped.raw.as_slice()).ok()?.spec
}

fn metadata(name: &str, uid: &str, labels: &[(&str, &str)]) -> Value {
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    let created = "2026-01-01T00:00:00Z";
    json!({ "name": name, "uid": uid, "labels": labels, "resourceVersion": "1", "creationTimestamp": created })
}

fn node_info() -> Value {
    let keys = [
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ];
    keys.into_iter().map(|key| (key.to_owned(), json!("x"))).collect::<serde_json::Map<_, _>>().into()
}

fn failure(code: StatusCode, reason: &str, message: String) -> Response<BoxBody<Bytes, Infallible>> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    });
    whole(code, status.to_string().into())
}

fn whole(code: StatusCode, body: Bytes) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::new(body).boxed());
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn config_map_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps/{name}")
}

/// What the server under test shows.
const API_TOKEN: &str = "the-token-of-the-server";
const APPLY: &[u8] = b"application/apply-patch+yaml";
const PROTOBUF: &[u8] = b"application/vnd.kubernetes.protobuf";
const PROTOBUF_MAGIC: &[u8] = b"k8s\0";
const API_AUDIENCE: &str = "https://kubernetes.default.svc";
const ENDLESS_BYTES: usize = 100 * 1024 * 1024;
const CHUNK_BYTES: usize = 64 * 1024;
