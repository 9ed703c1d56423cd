//! Nothing panics, nothing hangs, and what is printed is what was parsed.

mod support;

use proptest::prelude::*;
use steeple_config::{AgentFile, GoDuration, ServerFile, SyntaxFault, expand_env, parse, print};
use support::text::{almost_a_configuration, damaged, tree};

proptest! {
    #[test]
    fn printing_and_parsing_give_the_tree_back(tree in tree()) {
        let printed = print(&tree);
        prop_assert!(parse(printed.as_bytes()).as_ref() == Ok(&tree), "{printed}");
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn near_misses_never_panic(text in almost_a_configuration()) {
        if let Ok(tree) = parse(text.as_bytes()) {
            let _ = ServerFile::read(&tree);
            let _ = AgentFile::read(&tree);
            prop_assert!(parse(print(&tree).as_bytes()) == Ok(tree));
        }
        let _ = expand_env(&text, |name| Some(name.to_owned()));
    }

    #[test]
    fn damaged_configurations_never_panic(text in damaged()) {
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn durations_survive_printing(nanos in any::<i64>()) {
        let duration = GoDuration::from_nanos(nanos);
        prop_assert_eq!(duration.to_string().parse(), Ok(duration));
    }

    #[test]
    fn duration_texts_never_panic(text in "[-+.0-9a-zµ]{0,24}") {
        let _ = text.parse::<GoDuration>();
    }
}

#[test]
fn limits_are_errors() {
    let fault = |text: &str| parse(text.as_bytes()).unwrap_err().fault;
    let deep = "a {".repeat(200) + &"}".repeat(200);
    assert!(matches!(fault(&deep), SyntaxFault::TooDeep { .. }));
    assert!(matches!(fault(&format!("a = {}", "[".repeat(100_000))), SyntaxFault::TooDeep { .. }));
    assert!(matches!(fault(&format!("{} {{}}", "a ".repeat(100))), SyntaxFault::TooDeep { .. }));
    assert!(matches!(fault(&"a=1\n".repeat(150_000)), SyntaxFault::TooManyNodes { .. }));
    assert!(matches!(fault(&format!("a = [{}]", "1,".repeat(150_000))), SyntaxFault::TooManyNodes { .. }));
    assert!(matches!(fault(&" ".repeat(5 << 20)), SyntaxFault::TooLarge { .. }));
    let json = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    assert!(matches!(fault(&json), SyntaxFault::Json(_)));
    let many = format!("{{\"a\":[{}1]}}", "1,".repeat(150_000));
    assert!(matches!(fault(&many), SyntaxFault::Json(_)));
}
