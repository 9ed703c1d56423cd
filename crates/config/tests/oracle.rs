//! The Go libraries that SPIRE itself uses say what a text means; our reader has to agree (docs/adr/0005).
//!
//! Needs `go` and, the first time, its module proxy; without them the tests say "not run".

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value as Json, json};
use steeple_config::{GoDuration, SyntaxFault, Tree, Value, expand_env, parse};
use support::text::{almost_a_configuration, damaged};

/// Documents of each kind that are made up for one run.
const GENERATED: usize = 3_000;

#[test]
fn hcl_reads_as_in_go() {
    let mut texts = made_up(almost_a_configuration(), GENERATED);
    texts.extend(made_up(damaged(), GENERATED));
    texts.extend(EDGE_CASES.iter().map(|text| (*text).to_owned()));
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")).unwrap() {
        texts.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    texts.retain(|text| !text.trim_start().starts_with('{'));
    let Some(answers) = ask("hcl", &texts) else { return };
    let mut agreed = 0;
    for (text, answer) in texts.iter().zip(answers) {
        match (parse(text.as_bytes()), answer) {
            (Ok(tree), Ok(value)) => {
                assert_eq!(nodes(&tree), value, "the trees differ for:\n{text}");
                agreed += 1;
            }
            (Err(_), Err(_)) => {}
            (Ok(_), Err(error)) if wider_on_purpose(text, &error) => {}
            (Err(error), Ok(_)) if stricter_on_purpose(text, &error.fault) => {}
            (ours, theirs) => panic!("ours: {ours:?}\nGo's: {theirs:?}\n{text:?}"),
        }
    }
    assert!(agreed > 1_000, "only {agreed} texts were configurations");
}

/// What only we read. HCL1 misses a `<<-` heredoc's end when nothing stands before the anchor, takes a real U+FFFD
/// within `${ … }` for broken UTF-8, and keeps U+E123 for itself.
fn wider_on_purpose(text: &str, error: &str) -> bool {
    let heredoc = text.contains("<<-") && error.contains("heredoc not terminated");
    let replacement = text.contains('\u{fffd}') && error.contains("unquote");
    heredoc || replacement || error.contains("U+E123")
}

/// What only Go reads: it drops a last key whose value is missing.
fn stricter_on_purpose(text: &str, fault: &SyntaxFault) -> bool {
    matches!(fault, SyntaxFault::ExpectedValue { found: "EOF" }) && text.contains('=')
}

#[test]
fn durations_read_and_print_as_in_go() {
    let mut texts = made_up("[-+]?([0-9]{0,5}(\\.[0-9]{0,12})?(ns|us|µs|ms|s|m|h|d|)){0,3}", GENERATED);
    texts.extend(made_up("-?[0-9]{1,20}(ns|h)", 200));
    let Some(answers) = ask("duration", &texts) else { return };
    for (text, answer) in texts.iter().zip(answers) {
        let ours = text.parse::<GoDuration>().map_err(|error| error.to_string());
        let ours = ours.map(|duration| json!([duration.as_nanos().to_string(), duration.to_string()]));
        // Go quotes what is not ASCII byte by byte.
        if text.is_ascii() || ours.is_ok() || answer.is_ok() {
            assert_eq!(ours, answer, "{text:?}");
        }
    }
}

#[test]
fn variables_expand_as_in_go() {
    let texts = made_up("[a$\\{\\}_1#é-]{0,14}", GENERATED);
    let Some(answers) = ask("expand", &texts) else { return };
    for (text, answer) in texts.iter().zip(answers) {
        let ours = expand_env(text, |name| Some(format!("<{name}>")));
        // An empty answer is left out by Go's encoder.
        let theirs = answer.unwrap();
        assert_eq!(ours, theirs.as_str().unwrap_or_default(), "{text:?}");
    }
}

fn made_up(strategy: impl Strategy<Value = String>, count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// One answer for each text, or `None` when there is no oracle.
fn ask(kind: &str, texts: &[String]) -> Option<Vec<Result<Json, String>>> {
    let program = oracle()?;
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let requests: String =
        texts.iter().map(|text| json!({"kind": kind, "input": base64(text.as_bytes())}).to_string() + "\n").collect();
    let writer = std::thread::spawn(move || input.write_all(requests.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let answers: Vec<Result<Json, String>> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let mut answer: Json = serde_json::from_str(line).unwrap();
            match answer.get("error").and_then(Json::as_str) {
                Some(error) => Err(error.to_owned()),
                None => Ok(answer["value"].take()),
            }
        })
        .collect();
    assert_eq!(answers.len(), texts.len());
    Some(answers)
}

/// Builds the Go program once for all tests of this binary.
fn oracle() -> Option<&'static Path> {
    static ORACLE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = ORACLE.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop/hcl");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hcl-oracle");
        let build = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source).output();
        match build {
            Ok(output) if output.status.success() => Ok(program),
            Ok(output) => Err(format!("go build failed: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("no go: {error}")),
        }
    });
    // Said by each test that asks.
    built.as_deref().inspect_err(|why| eprintln!("not run: {why}")).ok()
}

/// The shape that the Go program prints.
fn nodes(tree: &Tree) -> Json {
    tree.nodes.iter().map(|node| json!([node.key, value(&node.value)])).collect()
}

fn value(value_: &Value) -> Json {
    match value_ {
        Value::Bool(flag) => json!({"bool": flag}),
        Value::Number(digits) => json!({"number": digits}),
        Value::Text(text) => json!({"text": text}),
        Value::List(items) => json!({"list": items.iter().map(value).collect::<Json>()}),
        Value::Object(tree) => json!({"object": nodes(tree)}),
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().chain([&0; 2]).take(3).fold(0, |group, byte| group << 8 | usize::from(*byte));
        for place in 0..4 {
            let sextet = ALPHABET[group >> (18 - 6 * place) & 63];
            out.push(if place <= chunk.len() { char::from(sextet) } else { '=' });
        }
    }
    out
}

const EDGE_CASES: &[&str] = &[
    "",
    "a = 1, b = 2,",
    "a = 1,, b = 2",
    ", a = 1",
    "a = [,1,,2,]",
    "a = [[1][2] 3]",
    "a = [1 2]",
    "a b = {}",
    "a \"b\" c { d = 1 }",
    "= 1",
    "{ a = 1 }",
    "a",
    "a {",
    "a { b }",
    "a { b = }",
    "a =",
    "a = b",
    "true = 1",
    "\"true\" = true",
    "1 = 2",
    "a = 0770 b = 0x1F c = -3 d = 1.5e3 e = .5 f = 1. g = 0.5e2",
    "a = 08",
    "a = 0x",
    "a = 1e",
    "a = 1e+",
    "a = -",
    "a = -.5",
    "a = 99999999999999999999",
    "a = \"x\ny\"",
    "a = \"${x\ny}\"",
    "a = \"${\"quoted\"} \\\" ${a{b}c}\"",
    "a = \"${unclosed\"",
    "a = \"\\x41\\101\\u00e9\\U0001F600\\a\\b\\f\\n\\r\\t\\v\\\\\"",
    "a = \"\\ud800\"",
    "a = \"\\xff\"",
    "a = \"\\q\"",
    "a = \"\\400\"",
    "a = \"\\x4\"",
    "a = \"$\" b = \"$$\" c = \"$x\" d = \"{\" e = \"}\"",
    "a = <<EOF\nx\n  EOF\n",
    "a = <<EOF\nEOF\n",
    "a = <<EOF\nx\nEOF",
    "a = <<EOF x\nEOF\n",
    "a = <<\nEOF\n",
    "a = <EOF\n",
    "a = <<-EOF\n    x\n      y\n    EOF\nb = 1",
    "a = <<-EOF\n    x\n  y\n    EOF\n",
    "a = <<-EOF\n\tx\n EOF\n",
    "a = <<-EOF\nx\nEOF\n",
    "a = [<<EOF\nx\nEOF\n, 1]",
    "a = 1 # c\n# d\nb = 2 // e\n/* f */ c = 3 /* g\n h */ d = 4",
    "a = 1 /",
    "a = 1 /* x",
    "a = 1 #",
    "a /* b */ = /* c */ 1",
    "a\r\n=\r\n1\r\n",
    "a = \"x\r\"",
    "é = 1 _x = 2 a.b-c = 3",
    "a = \"é\" # ü",
    "a = 1 ; b = 2",
    "a: 1",
    "a = 1 b = 2 c { d = 3 e { f = 4 } } g = []",
    "\u{feff}a = 1",
    "a = \"\0\"",
    "a = {} b {} c = { d = 1, e = 2 }",
    "a { b = 1 } }",
    "a = [1",
    "a = [{b = 1} {c = 2}]",
    "a = [{b = 1}, {c = 2}]",
    "a = [b]",
    "a = (1)",
    "a = 1 + 2",
    "a = .",
];
