//! The engine client against a double of an engine, over a real Unix socket.

use steeple_testkit::{DoubleAnswer, EngineDouble};
use tempfile::TempDir;

use super::engine::Engine;
use super::socket_path;

fn double() -> (TempDir, EngineDouble) {
    let dir = tempfile::tempdir().unwrap();
    let engine = EngineDouble::start(&dir.path().join("engine.sock")).unwrap();
    (dir, engine)
}

fn json(text: &str) -> DoubleAnswer {
    DoubleAnswer::Json(text.to_owned())
}

#[tokio::test]
async fn containers_and_images_are_asked_for_under_the_version() {
    let (_dir, double) = double();
    double.answer("/containers/abc/json", json(r#"{"Id": "abcdef", "Config": {"Image": "a/b:1"}}"#));
    double.answer("/v1.41/images/a/b:1/json", json(r#"{"Id": "sha256:aa"}"#));
    let found = Engine::new(double.socket(), None).container("abc").await.unwrap();
    assert_eq!(found.config.selectors(), ["image_id:a/b:1"]);
    let image = Engine::new(double.socket(), Some("1.41")).image("a/b:1").await.unwrap();
    assert_eq!(image.selector().unwrap(), "image_config_digest:sha256:aa");
    assert_eq!(double.asked(), ["/containers/abc/json", "/v1.41/images/a/b:1/json"]);
}

#[tokio::test]
async fn an_unknown_container_is_asked_for_four_times() {
    let (_dir, double) = double();
    let error = Engine::new(double.socket(), None).container("abc").await.unwrap_err().to_string();
    let socket = double.socket().display();
    let expected =
        format!("the container engine at unix://{socket}: 404 Not Found: No such thing: /containers/abc/json");
    assert_eq!(error, expected);
    assert_eq!(double.asked().len(), 4);
}

#[tokio::test]
async fn an_engine_that_lies_hangs_or_floods_is_told_apart() {
    let (_dir, double) = double();
    let engine = Engine::new(double.socket(), None);
    let says = async |answer: DoubleAnswer| {
        double.answer("/images/x/json", answer);
        engine.image("x").await.unwrap_err().to_string()
    };
    assert!(says(DoubleAnswer::Endless(100 << 20)).await.ends_with("the answer has more than 8388608 bytes"));
    assert!(says(json("[")).await.contains("unable to parse its answer: "));
    assert!(says(DoubleAnswer::Status(500, "not json".to_owned())).await.ends_with("500 Internal Server Error: "));
    assert!(says(DoubleAnswer::Garbage).await.contains("the container engine at unix://"));
    assert!(says(DoubleAnswer::Hang).await.ends_with("no complete answer within 5 s"));
    double.answer("/containers/abc/json", json(r#"{"Id": "def"}"#));
    let another = engine.container("abc").await.unwrap_err().to_string();
    assert!(another.ends_with("it was asked for container abc and answered for def"), "{another}");
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = Engine::new(&dir.path().join("none.sock"), None).image("x").await.unwrap_err().to_string();
    assert!(error.contains("none.sock: cannot connect: No such file or directory"), "{error}");
}

#[test]
fn only_unix_sockets_are_taken() {
    assert_eq!(socket_path("unix:///a/b.sock").unwrap().to_str(), Some("/a/b.sock"));
    for bad in ["tcp://1.2.3.4:2375", "/a/b.sock", "unix://a", "npipe:////./pipe/docker_engine", ""] {
        assert_eq!(socket_path(bad), None, "{bad}");
    }
}
