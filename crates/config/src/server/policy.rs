//! The file that `authorization { policy_file = ... }` names: which callers have limited rights, and which.

use std::path::PathBuf;

use steeple_core::{IdPattern, SpiffeId, TrustDomain};

use crate::section::{Section, blocks_of};
use crate::unknown::UnknownKeys;
use crate::{DecodeError, Node, Span, Tree};

/// As it stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFile {
    roles: Vec<RoleFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RoleFile {
    name: String,
    span: Span,
    spiffe_ids: Texts,
    uids: Texts,
    rules: Vec<RuleFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RuleFile {
    methods: Texts,
    spiffe_ids: Texts,
    parent_ids: Texts,
    trust_domains: Texts,
    federates_with: Texts,
}

/// A list of strings, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Texts {
    key: &'static str,
    span: Span,
    texts: Option<Vec<String>>,
}

/// The rights of callers. What methods there are and how they can be limited, only the server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySettings {
    /// Absolute.
    pub path: PathBuf,
    pub roles: Vec<PolicyRole>,
}

/// What some callers may do: everything that one of its rules allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRole {
    pub name: String,
    pub span: Span,
    /// Callers on TCP, by their SVID.
    pub spiffe_ids: Vec<SpiffeId>,
    /// Callers on the admin socket.
    pub uids: Vec<u32>,
    pub rules: Vec<PolicyRule>,
}

/// Methods, and what of their items; `None` limits nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRule {
    /// Where its methods stand.
    pub span: Span,
    pub methods: Vec<String>,
    pub spiffe_ids: Option<Vec<IdPattern>>,
    pub parent_ids: Option<Vec<IdPattern>>,
    pub trust_domains: Option<Vec<TrustDomain>>,
    /// `None`: with nobody, which is what most entries do.
    pub federates_with: Option<Vec<TrustDomain>>,
}

impl PolicyFile {
    /// Reads a parsed file; what nobody asked for comes back beside it.
    pub fn read(tree: &Tree) -> Result<(Self, Vec<UnknownKeys>), DecodeError> {
        let (mut file, mut unknown) = (Section::new("", tree), Vec::new());
        let labels = file.tree("role")?.unwrap_or_default();
        let roles = labels.nodes.iter().map(|node| RoleFile::read(node, &mut unknown)).collect::<Result<_, _>>()?;
        file.finish("policy", &mut unknown);
        Ok((Self { roles }, unknown))
    }

    /// Checks what can be checked without knowing the server's methods.
    pub fn resolve(&self) -> Result<Vec<PolicyRole>, DecodeError> {
        for (position, role) in self.roles.iter().enumerate() {
            if self.roles[..position].iter().any(|before| before.name == role.name) {
                return Err(role.invalid("stands twice: give one of the two another name"));
            }
        }
        self.roles.iter().map(RoleFile::resolve).collect()
    }
}

impl RoleFile {
    fn read(node: &Node, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let heading = format!("role {:?}", node.key);
        let blocks = blocks_of(node, "role")?;
        let tree = Tree { nodes: blocks.into_iter().flat_map(|block| block.nodes.iter().cloned()).collect() };
        let mut section = Section::new(heading.clone(), &tree);
        let (spiffe_ids, uids) = (Texts::read(&mut section, "spiffe_ids")?, Texts::read(&mut section, "uids")?);
        let mut rules = Vec::new();
        for rule in section.sections("rule")? {
            rules.push(RuleFile::read(rule, &heading, unknown)?);
        }
        section.finish(heading, unknown);
        Ok(Self { name: node.key.clone(), span: node.span, spiffe_ids, uids, rules })
    }

    fn resolve(&self) -> Result<PolicyRole, DecodeError> {
        let spiffe_ids = self.spiffe_ids.parsed(SpiffeId::parse)?.unwrap_or_default();
        if let Some(id) = spiffe_ids.iter().find(|id| id.is_reserved()) {
            return Err(self.spiffe_ids.invalid(format!(
                "{} is a server's or an agent's ID, whose rights no policy changes; use a workload's",
                id.as_str()
            )));
        }
        let uid = |text: &str| text.parse::<u32>().map_err(|_| "is no uid; write a number from 0 to 4294967295");
        let uids = self.uids.parsed(uid)?.unwrap_or_default();
        if spiffe_ids.is_empty() && uids.is_empty() {
            return Err(self.invalid("names nobody: give it spiffe_ids or uids"));
        }
        if self.rules.is_empty() {
            return Err(self.invalid("has no rule, so its callers could do nothing: give it one, or remove the role"));
        }
        let rules = self.rules.iter().map(|rule| rule.resolve(self)).collect::<Result<_, _>>()?;
        Ok(PolicyRole { name: self.name.clone(), span: self.span, spiffe_ids, uids, rules })
    }

    fn invalid(&self, reason: &str) -> DecodeError {
        DecodeError::Invalid { span: self.span, key: format!("role {:?}", self.name), reason: reason.to_owned() }
    }
}

impl RuleFile {
    fn read(mut section: Section<'_>, role: &str, unknown: &mut Vec<UnknownKeys>) -> Result<Self, DecodeError> {
        let read = Self {
            methods: Texts::read(&mut section, "methods")?,
            spiffe_ids: Texts::read(&mut section, "spiffe_ids")?,
            parent_ids: Texts::read(&mut section, "parent_ids")?,
            trust_domains: Texts::read(&mut section, "trust_domains")?,
            federates_with: Texts::read(&mut section, "federates_with")?,
        };
        section.finish(format!("rule of {role}"), unknown);
        Ok(read)
    }

    fn resolve(&self, role: &RoleFile) -> Result<PolicyRule, DecodeError> {
        let methods = self.methods.texts.clone().filter(|methods| !methods.is_empty());
        Ok(PolicyRule {
            span: self.methods.span,
            methods: methods
                .ok_or_else(|| role.invalid("has a rule without methods: name them, or remove the rule"))?,
            spiffe_ids: self.spiffe_ids.parsed(IdPattern::parse)?,
            parent_ids: self.parent_ids.parsed(IdPattern::parse)?,
            trust_domains: self.trust_domains.parsed(TrustDomain::from_name)?,
            federates_with: self.federates_with.parsed(TrustDomain::from_name)?,
        })
    }
}

impl Texts {
    fn read(section: &mut Section<'_>, key: &'static str) -> Result<Self, DecodeError> {
        Ok(Self { key, span: section.span_of(key), texts: section.texts(key)? })
    }

    /// An empty list would limit to nothing what was meant to be limited to something.
    fn parsed<T, E: std::fmt::Display>(
        &self,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(texts) = &self.texts else { return Ok(None) };
        if texts.is_empty() {
            return Err(self.invalid("is empty: name something, or remove the key".to_owned()));
        }
        let parse = |text: &String| parse(text).map_err(|error| self.invalid(format!("{text:?}: {error}")));
        texts.iter().map(parse).collect::<Result<_, _>>().map(Some)
    }

    fn invalid(&self, reason: String) -> DecodeError {
        DecodeError::Invalid { span: self.span, key: self.key.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn read(text: &str) -> Result<Vec<PolicyRole>, String> {
        let (file, unknown) = PolicyFile::read(&parse(text.as_bytes()).unwrap()).map_err(|error| error.to_string())?;
        match unknown.first() {
            None => file.resolve().map_err(|error| error.to_string()),
            Some(keys) => Err(keys.to_string()),
        }
    }

    #[test]
    fn a_role_with_all_that_it_may_have() {
        let text = r#"
            role "payments" {
                spiffe_ids = ["spiffe://example.org/ci/payments"]
                uids = [1000, "1001"]
                rule {
                    methods = ["Entry/*"]
                    spiffe_ids = ["spiffe://example.org/payments/*"]
                    parent_ids = ["spiffe://example.org/spire/agent/x509pop/*"]
                    federates_with = ["partner.test"]
                }
                rule { methods = ["Bundle/GetFederatedBundle"] trust_domains = ["partner.test"] }
            }
        "#;
        let [role] = read(text).unwrap().try_into().unwrap();
        assert_eq!((role.name.as_str(), role.span.line, role.uids.as_slice()), ("payments", 2, &[1000, 1001][..]));
        let [entries, bundles] = role.rules.try_into().unwrap();
        assert_eq!((entries.span.line, bundles.span.line), (6, 11));
        assert_eq!(entries.spiffe_ids.unwrap()[0].to_string(), "spiffe://example.org/payments/*");
        assert_eq!((bundles.spiffe_ids, bundles.trust_domains.unwrap()[0].name()), (None, "partner.test"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_what_to_do() {
        let rule = "rule { methods = [\"Entry/*\"] }";
        let cases = [
            (format!("role \"a\" {{ {rule} }}"), "At 1:6: role \"a\": names nobody: give it spiffe_ids or uids"),
            ("role \"a\" { uids = [1] }".into(), "At 1:6: role \"a\": has no rule, "),
            ("role \"a\" { uids = [1] rule { } }".into(), "At 1:6: role \"a\": has a rule without methods"),
            (
                format!("role \"a\" {{ uids = [1] {rule} }}\nrole \"a\" {{ uids = [2] {rule} }}"),
                "At 2:6: role \"a\": stands twice",
            ),
            (format!("role \"a\" {{ uids = [-1] {rule} }}"), "At 1:12: uids: \"-1\": is no uid"),
            (
                format!("role \"a\" {{ spiffe_ids = [\"spiffe://example.org/spire/agent/x\"] {rule} }}"),
                "At 1:12: spiffe_ids: spiffe://example.org/spire/agent/x is a server's or an agent's ID",
            ),
            (
                "role \"a\" { uids = [1]\n rule { methods = [\"x\"] spiffe_ids = [\"spiffe://example.org/a*\"] } }"
                    .into(),
                "At 2:25: spiffe_ids: \"spiffe://example.org/a*\": path segment characters",
            ),
            (
                "role \"a\" { uids = [1] rule { methods = [\"x\"] parent_ids = [] } }".into(),
                "At 1:46: parent_ids: is empty",
            ),
            (
                "role \"a\" { uids = [1] rule { methods = [\"x\"] federates_with = [\"spiffe://a\"] } }".into(),
                "At 1:46: federates_with: \"spiffe://a\": trust domain characters",
            ),
            (
                format!("role \"a\" {{ uid = [1] {rule} }}"),
                "role \"a\": unknown \"uid\" at 1:12 (did you mean \"uids\"?)",
            ),
            (
                "role \"a\" { uids = [1] rule { methods = [\"x\"] spiffe_id = [] } }".into(),
                "rule of role \"a\": unknown \"spiffe_id\" at 1:46 (did you mean \"spiffe_ids\"?)",
            ),
            ("roles { }".into(), "policy: unknown \"roles\" at 1:1 (did you mean \"role\"?)"),
        ];
        for (text, expected) in cases {
            let error = read(&text).expect_err(&text);
            assert!(error.starts_with(expected), "{text}\n{error}");
        }
    }
}
