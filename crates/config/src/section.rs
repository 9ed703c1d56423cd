//! Weakly typed reading of a block, with a memory of which keys were asked for.

use crate::suggest::nearest;
use crate::syntax::go_int;
use crate::unknown::{UnknownKey, UnknownKeys};
use crate::{DecodeError, Node, Span, Tree, Value};

/// A block of a configuration. Blocks that stand several times are read as one, as SPIRE does: the last scalar wins,
/// lists add up. Keys match whatever their case.
///
/// The reading is weak in the way HCL1's decoder is: `"8081"` is an int, `8081` is a string, but `"true"` is no bool.
pub struct Section<'t> {
    /// Dotted, for messages; empty for the file itself.
    path: String,
    nodes: Vec<&'t Node>,
    asked: Vec<&'static str>,
}

impl<'t> Section<'t> {
    /// A whole file, or the data of a plugin under the name that messages should use.
    pub fn new(path: impl Into<String>, tree: &'t Tree) -> Self {
        Self::from_trees(path.into(), [tree])
    }

    fn from_trees(path: String, trees: impl IntoIterator<Item = &'t Tree>) -> Self {
        let nodes = trees.into_iter().flat_map(|tree| &tree.nodes).collect();
        Self { path, nodes, asked: Vec::new() }
    }

    pub fn text(&mut self, key: &'static str) -> Result<Option<String>, DecodeError> {
        self.scalar(key, "a string", |value| match value {
            Value::Text(text) => Some(text.clone()),
            Value::Number(digits) => Some(digits.clone()),
            _ => None,
        })
    }

    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, DecodeError> {
        self.scalar(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    pub fn int(&mut self, key: &'static str) -> Result<Option<i64>, DecodeError> {
        let mut last = None;
        for node in self.asked(key) {
            let (Value::Text(digits) | Value::Number(digits)) = &node.value else {
                return Err(self.wrong_kind(node, "a number"));
            };
            let value = go_int(digits).ok_or_else(|| DecodeError::NotANumber {
                span: node.span,
                key: self.dotted(key),
                value: digits.clone(),
            })?;
            last = Some(value);
        }
        Ok(last)
    }

    /// A list of strings; `None` when the key is absent. An empty object of a JSON file is an empty list (SPIRE
    /// behaviour).
    pub fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, DecodeError> {
        let mut all = None;
        for node in self.asked(key) {
            let items = match &node.value {
                Value::List(items) => items.as_slice(),
                Value::Object(tree) if tree.is_empty() && !node.span.is_known() => &[],
                _ => return Err(self.wrong_kind(node, "a list of strings")),
            };
            let all = all.get_or_insert_with(Vec::new);
            for item in items {
                match item {
                    Value::Text(text) | Value::Number(text) => all.push(text.clone()),
                    _ => return Err(self.wrong_kind(node, "a list of strings")),
                }
            }
        }
        Ok(all)
    }

    /// The block under `key`; `None` when it is absent. Only JSON has a list for a block that stands several times.
    pub fn section(&mut self, key: &'static str) -> Result<Option<Section<'t>>, DecodeError> {
        let is_hcl_list = |node: &&&Node| node.span.is_known() && matches!(node.value, Value::List(_));
        if let Some(node) = self.named(key).find(is_hcl_list) {
            return Err(self.wrong_kind(node, "a block"));
        }
        let trees = self.trees(key)?;
        Ok((!trees.is_empty()).then(|| Section::from_trees(self.dotted(key), trees)))
    }

    /// Every block under `key`, one by one: `Statsd = [{ … }, { … }]`, or the block written twice.
    pub fn sections(&mut self, key: &'static str) -> Result<Vec<Section<'t>>, DecodeError> {
        let trees = self.trees(key)?;
        Ok(trees.into_iter().map(|tree| Section::from_trees(self.dotted(key), [tree])).collect())
    }

    /// The labelled blocks under `key` in order of first appearance; blocks with the same label are read as one.
    pub fn labelled(&mut self, key: &'static str) -> Result<Vec<(&'t str, Section<'t>)>, DecodeError> {
        let mut labelled: Vec<(&'t str, Section<'t>)> = Vec::new();
        for node in self.trees(key)?.into_iter().flat_map(|tree| &tree.nodes) {
            let path = format!("{} {:?}", self.dotted(key), node.key);
            let block = Section::from_trees(path, self.trees_of(node)?);
            match labelled.iter_mut().find(|(label, _)| *label == node.key) {
                Some((_, known)) => known.nodes.extend(block.nodes),
                None => labelled.push((&node.key, block)),
            }
        }
        Ok(labelled)
    }

    /// The one labelled block under `key`, such as `profile "https_web" { … }`.
    pub fn one_labelled(&mut self, key: &'static str) -> Result<Option<(&'t str, Section<'t>)>, DecodeError> {
        let span = self.named(key).next().map(|node| node.span);
        let Some(span) = span else {
            self.asked.push(key);
            return Ok(None);
        };
        let mut labelled = self.labelled(key)?;
        match (labelled.len(), labelled.pop()) {
            (1, Some(one)) => Ok(Some(one)),
            (found, _) => Err(DecodeError::NotOneLabel { span, key: self.dotted(key), found }),
        }
    }

    /// The nodes under `key` as they are, for what has a reader of its own; `None` when the key is absent.
    pub fn tree(&mut self, key: &'static str) -> Result<Option<Tree>, DecodeError> {
        let trees = self.trees(key)?;
        let nodes = || trees.iter().flat_map(|tree| tree.nodes.iter().cloned()).collect();
        Ok((!trees.is_empty()).then(|| Tree { nodes: nodes() }))
    }

    /// Where `key` stands, the first time; unknown when it does not.
    pub(crate) fn span_of(&self, key: &str) -> Span {
        self.named(key).next().map_or(Span::UNKNOWN, |node| node.span)
    }

    /// Reports what nobody asked for under `name`.
    pub fn finish(self, name: impl Into<String>, unknown: &mut Vec<UnknownKeys>) {
        self.report(name.into(), |_| true, unknown);
    }

    /// The same before everything was asked for: only what is nearest to a key that was asked for and is not there.
    pub(crate) fn finish_early(self, name: impl Into<String>, unknown: &mut Vec<UnknownKeys>) {
        let is_missing = |key: &UnknownKey| key.suggestion.is_some_and(|known| self.named(known).next().is_none());
        self.report(name.into(), is_missing, unknown);
    }

    fn report(&self, section: String, tells: impl Fn(&UnknownKey) -> bool, unknown: &mut Vec<UnknownKeys>) {
        let is_known = |node: &&Node| self.asked.iter().any(|key| node.key.eq_ignore_ascii_case(key));
        let strangers = self.nodes.iter().copied().filter(|node| !is_known(node));
        let mut keys: Vec<UnknownKey> = strangers
            .map(|node| UnknownKey {
                name: node.key.clone(),
                span: node.span,
                suggestion: nearest(&node.key, &self.asked),
            })
            .filter(tells)
            .collect();
        if keys.is_empty() {
            return;
        }
        keys.sort_by(|a, b| (&a.name, a.span).cmp(&(&b.name, b.span)));
        keys.dedup_by(|a, b| a.name == b.name);
        unknown.push(UnknownKeys { section, keys });
    }

    fn scalar<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, DecodeError> {
        let mut last = None;
        for node in self.asked(key) {
            last = Some(read(&node.value).ok_or_else(|| self.wrong_kind(node, expected))?);
        }
        Ok(last)
    }

    fn asked(&mut self, key: &'static str) -> Vec<&'t Node> {
        self.asked.push(key);
        self.named(key).copied().collect()
    }

    fn named(&self, key: &str) -> impl Iterator<Item = &&'t Node> {
        self.nodes.iter().filter(move |node| node.key.eq_ignore_ascii_case(key))
    }

    fn trees(&mut self, key: &'static str) -> Result<Vec<&'t Tree>, DecodeError> {
        let mut all = Vec::new();
        for node in self.asked(key) {
            all.extend(self.trees_of(node)?);
        }
        Ok(all)
    }

    fn trees_of(&self, node: &'t Node) -> Result<Vec<&'t Tree>, DecodeError> {
        blocks_of(node, &self.path)
    }

    fn wrong_kind(&self, node: &Node, expected: &'static str) -> DecodeError {
        DecodeError::WrongKind { span: node.span, key: self.dotted(&node.key), expected, found: node.value.kind() }
    }

    fn dotted(&self, key: &str) -> String {
        dotted(&self.path, key)
    }
}

/// What `node`, which stands in `path`, holds: a block, or the list of blocks that JSON files write for one that stands
/// several times.
pub(crate) fn blocks_of<'t>(node: &'t Node, path: &str) -> Result<Vec<&'t Tree>, DecodeError> {
    let block = |value: &'t Value| match value {
        Value::Object(tree) => Ok(tree),
        other => Err(DecodeError::WrongKind {
            span: node.span,
            key: dotted(path, &node.key),
            expected: "a block",
            found: other.kind(),
        }),
    };
    match &node.value {
        Value::List(items) => items.iter().map(block).collect(),
        value => Ok(vec![block(value)?]),
    }
}

fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn reads_weakly_and_reports_strangers() {
        let text = r#"
            port = "8081" name = 5 on = true off = false
            ids = ["a"] ids = ["b"] block { x = 1 } block { y = 2 }
            Nmae = "oops" zzz = 1
        "#;
        let tree = parse(text.as_bytes()).unwrap();
        let mut section = Section::new("s", &tree);
        assert_eq!(section.int("port"), Ok(Some(8081)));
        assert_eq!(section.text("NAME"), Ok(Some("5".into())));
        assert_eq!(section.flag("on"), Ok(Some(true)));
        assert_eq!(section.flag("off"), Ok(Some(false)));
        assert_eq!(section.texts("ids"), Ok(Some(vec!["a".into(), "b".into()])));
        let mut block = section.section("block").unwrap().unwrap();
        assert_eq!((block.int("x"), block.int("y")), (Ok(Some(1)), Ok(Some(2))));
        let mut unknown = Vec::new();
        section.finish("s", &mut unknown);
        assert_eq!(unknown[0].joined_names(), "Nmae,zzz");
        assert_eq!(unknown[0].keys[0].suggestion, Some("NAME"));
        assert_eq!(unknown[0].keys[1].suggestion, None);
    }

    #[test]
    fn names_the_place_of_a_wrong_value() {
        let tree = parse(b"port = [1]\n  name = true").unwrap();
        let mut section = Section::new("server", &tree);
        let error = section.int("port").unwrap_err().to_string();
        assert_eq!(error, "At 1:1: server.port: a number is expected, not a list");
        let error = section.text("name").unwrap_err().to_string();
        assert_eq!(error, "At 2:3: server.name: a string is expected, not a bool");
    }

    #[test]
    fn only_bools_are_bools() {
        for text in [r#"on = "true""#, "on = 1", "on = [true]"] {
            let tree = parse(text.as_bytes()).unwrap();
            assert!(Section::new("server", &tree).flag("on").is_err(), "{text}");
        }
    }

    #[test]
    fn json_numbers_with_a_fraction_are_no_ints_and_an_empty_object_is_an_empty_list() {
        let tree = parse(br#"{"port": 8081.0, "other": 8.081e3, "whole": 8081, "ids": {}}"#).unwrap();
        let mut section = Section::new("server", &tree);
        assert!(section.int("port").is_err() && section.int("other").is_err());
        assert_eq!(section.int("whole"), Ok(Some(8081)));
        assert_eq!(section.texts("ids"), Ok(Some(Vec::new())));
        let tree = parse(b"ids {}").unwrap();
        assert!(Section::new("server", &tree).texts("ids").is_err());
    }

    #[test]
    fn a_list_of_blocks_is_one_block_in_json_alone() {
        let tree = parse(br#"subject = [{ x = 1 }]"#).unwrap();
        let mut section = Section::new("server", &tree);
        assert!(section.section("subject").is_err());
        assert_eq!(section.sections("subject").unwrap().len(), 1, "where several may stand, a list is as good");
        let tree = parse(br#"{"subject": [{"x": 1}]}"#).unwrap();
        let mut subject = Section::new("server", &tree).section("subject").unwrap().unwrap();
        assert_eq!(subject.int("x"), Ok(Some(1)));
    }
}
