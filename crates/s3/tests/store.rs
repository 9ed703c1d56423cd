//! Objects in a real S3 server, which checks signatures.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use steeple_core::{Clock, Secret, SystemClock};
use steeple_s3::{Access, Bucket, Credentials, S3Error};
use steeple_testkit::{Relay, S3Server, Scratch};

const SECRET: &str = "canary-secret-access-key";
/// Three parts, the last of them short.
const LARGE_BYTES: usize = 12 << 20;

struct Store {
    scratch: Scratch,
    server: S3Server,
}

impl Store {
    /// `None` where there is no such program.
    async fn start(tls: bool) -> Option<Self> {
        let program = S3Server::program()?;
        let scratch = Scratch::new().expect("a temporary directory");
        let server = S3Server::start(program, scratch.path(), SECRET, tls).await.expect("it starts");
        Some(Self { scratch, server })
    }

    fn access(&self) -> Access {
        Access {
            bucket: S3Server::BUCKET.to_owned(),
            endpoint: Some(self.server.endpoint()),
            region: Some(S3Server::REGION.to_owned()),
            path_style: true,
            ca_cert_path: self.server.roots(),
            credentials: Some(credentials(S3Server::ACCESS_KEY_ID, SECRET)),
        }
    }

    async fn bucket(&self) -> Bucket {
        open(&self.access()).await
    }

    fn file(&self, content: &[u8]) -> File {
        let mut file = tempfile::tempfile_in(self.scratch.path()).expect("a file");
        file.write_all(content).expect("room");
        file.rewind().expect("a file");
        file
    }

    fn half_uploads(&self) -> bool {
        fn holds_a_file(dir: &Path) -> bool {
            std::fs::read_dir(dir)
                .is_ok_and(|items| items.flatten().any(|item| item.path().is_file() || holds_a_file(&item.path())))
        }
        holds_a_file(&self.server.object(".sgwtmp"))
    }
}

fn credentials(id: &str, secret: &str) -> Credentials {
    Credentials { access_key_id: id.to_owned(), secret_access_key: Secret::new(secret.as_bytes().to_vec()) }
}

async fn open(access: &Access) -> Bucket {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Bucket::open(access, &clock).await.expect("settings")
}

async fn read(bucket: &Bucket, key: &str) -> Vec<u8> {
    let mut reader = bucket.open_object(key).await.expect("an object");
    let content = tokio::task::spawn_blocking(move || {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map(|_| content)
    });
    content.await.expect("a thread").expect("its content")
}

async fn names(bucket: &Bucket, prefix: &str) -> Vec<String> {
    bucket.list(prefix).await.expect("a list").into_iter().map(|object| object.name).collect()
}

fn large(seed: u8) -> Vec<u8> {
    (0..LARGE_BYTES).map(|at| (at / 4093) as u8 ^ seed).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_every_size_come_back_over_tls() {
    let Some(store) = Store::start(true).await else { return };
    let bucket = store.bucket().await;
    for (key, content) in [("a/empty", Vec::new()), ("a/small", b"small".to_vec()), ("a/large", large(0))] {
        bucket.put_new(key, store.file(&content)).await.expect("stored");
        assert!(read(&bucket, key).await == content, "{key}");
    }
    bucket.put_new("a/b/deeper", store.file(b"x")).await.expect("stored");
    bucket.put_new("ab", store.file(b"x")).await.expect("stored");
    assert_eq!(names(&bucket, "a/").await, ["empty", "large", "small"]);
    assert_eq!(names(&bucket, "").await, ["ab"]);
    for _ in 0..2 {
        bucket.delete("a/large").await.expect("deleted");
    }
    assert_eq!(names(&bucket, "a/").await, ["empty", "small"]);
    assert!(matches!(bucket.open_object("a/large").await, Err(S3Error::NoObject { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_keeps_its_object() {
    let Some(store) = Store::start(false).await else { return };
    let bucket = store.bucket().await;
    for (key, contents) in [("small", [b"1".to_vec(), b"2".to_vec()]), ("large", [large(1), large(2)])] {
        let [one, other] = &contents;
        let both = tokio::join!(bucket.put_new(key, store.file(one)), bucket.put_new(key, store.file(other)));
        let kept = match both {
            (Ok(()), Err(S3Error::Exists { .. })) => one,
            (Err(S3Error::Exists { .. }), Ok(())) => other,
            both => panic!("{key}: {both:?}"),
        };
        assert!(read(&bucket, key).await == *kept, "{key}");
        let late = bucket.put_new(key, store.file(b"late")).await;
        assert!(matches!(late, Err(S3Error::Exists { .. })), "{late:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_is_no_object() {
    let Some(store) = Store::start(false).await else { return };
    let relay = Relay::start().await.expect("a relay");
    relay.point_to(&store.server.address());
    let endpoint = Some(format!("http://127.0.0.1:{}", relay.port()));
    let bucket = open(&Access { endpoint, ..store.access() }).await;
    // Enough for the first part, and not for the second.
    relay.pass_at_most(8 << 20);
    let broken = bucket.put_new("large", store.file(&large(0))).await;
    assert!(matches!(broken, Err(S3Error::Unreachable(_))), "{broken:?}");
    assert!(store.half_uploads(), "the first part never arrived, so nothing was shown");

    relay.pass_at_most(u64::MAX);
    assert_eq!(names(&bucket, "").await, [""; 0]);
    assert!(matches!(bucket.open_object("large").await, Err(S3Error::NoObject { .. })));
    bucket.put_new("large", store.file(&large(0))).await.expect("stored");
    assert!(read(&bucket, "large").await == large(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_while_it_is_read_is_not_mixed() {
    let Some(store) = Store::start(false).await else { return };
    let bucket = store.bucket().await;
    bucket.put_new("key", store.file(&large(1))).await.expect("stored");
    let mut reader = bucket.open_object("key").await.expect("an object");
    bucket.delete("key").await.expect("deleted");
    bucket.put_new("key", store.file(&large(2))).await.expect("stored");
    let read = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
    let error = read.await.expect("a thread").expect_err("two objects in one").downcast::<S3Error>();
    assert!(matches!(error, Ok(S3Error::Changed { .. })), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_the_next_step() {
    let Some(store) = Store::start(true).await else { return };
    let told = async |change: fn(&mut Access)| {
        let mut access = store.access();
        change(&mut access);
        let bucket = open(&access).await;
        let errors = [
            bucket.list("").await.map(drop).expect_err("a list"),
            bucket.put_new("key", store.file(b"x")).await.expect_err("an object"),
        ];
        let told = errors.map(|error| error.to_string());
        assert!(told.iter().all(|told| !told.contains(SECRET)), "{told:?}");
        told
    };
    let says = |told: [String; 2], words: &str| assert!(told.iter().all(|told| told.contains(words)), "{told:?}");
    says(told(|access| access.bucket = "nowhere".to_owned()).await, "create it");
    let wrong = told(|access| access.credentials = Some(credentials(S3Server::ACCESS_KEY_ID, "wrong"))).await;
    says(wrong, "check access key id and secret access key");
    let unknown = told(|access| access.credentials = Some(credentials("unknown", SECRET))).await;
    says(unknown, "check access key id and secret access key");
    says(told(|access| access.region = Some("mars-1".to_owned())).await, "AWS_REGION");
    says(told(|access| access.ca_cert_path = None).await, "ca_cert_path");
    says(told(|access| access.endpoint = Some("https://127.0.0.1:1".to_owned())).await, "can be reached from here");
    let plain = |access: &mut Access| {
        access.endpoint = access.endpoint.as_ref().map(|endpoint| endpoint.replace("https", "http"));
    };
    told(plain).await;
}
