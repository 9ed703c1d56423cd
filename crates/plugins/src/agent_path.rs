//! `agent_path_template`: what the path of an attested agent's SPIFFE ID is made of.
//!
//! SPIRE reads it with Go's text/template and a library of functions. Here are fields, `{{ .PluginName }}`, and members
//! of lists, `{{ index .ValidPrincipals 0 }}`: a template that calls another function is refused by its name when the
//! server starts.

use steeple_core::{IdError, SpiffeId, TrustDomain};

/// Text and fields in turn, for instance `/{{ .PluginName }}/{{ .Fingerprint }}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPathTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Without the leading dot.
    Field(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("agent_path_template: an action is not closed: write {{{{ .Field }}}}")]
    Open,
    #[error("agent_path_template: function {0:?} is not supported: only fields are, such as {{{{ .Fingerprint }}}}")]
    Function(String),
    #[error("agent_path_template: {0:?} is not supported: only fields are, such as {{{{ .Fingerprint }}}}")]
    Action(String),
    #[error("agent_path_template: there is no field {field:?}: fields are {}", .known.join(", "))]
    UnknownField { field: String, known: &'static [&'static str] },
}

/// A field that has no value for the agent at hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("agent_path_template: the agent has no value for {{{{ .{0} }}}}")]
pub struct NoValue(pub String);

/// What comes behind `/spire/agent` makes no ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid agent path suffix {suffix:?}: {why}")]
pub(crate) struct BadSuffix {
    suffix: String,
    why: IdError,
}

/// The ID of an agent whose path is `suffix` behind `/spire/agent`.
pub(crate) fn agent_id(trust_domain: &TrustDomain, suffix: &str) -> Result<SpiffeId, BadSuffix> {
    let bad = |why| BadSuffix { suffix: suffix.to_owned(), why };
    if !suffix.starts_with('/') {
        return Err(bad(IdError::NoLeadingSlash));
    }
    trust_domain.member(&format!("/spire/agent{suffix}")).map_err(bad)
}

impl AgentPathTemplate {
    /// `/{{ .PluginName }}/{{ .field }}`, the form of the defaults.
    pub fn below_plugin_name(field: &str) -> Self {
        let text = || Part::Text("/".to_owned());
        Self { parts: vec![text(), Part::Field("PluginName".to_owned()), text(), Part::Field(field.to_owned())] }
    }

    /// `known` are the fields of the attestor; one that ends with a dot stands for all below it. `index .List 0` is the
    /// field `List.0`.
    pub fn parse(text: &str, known: &'static [&'static str]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (action, behind) = after.split_once("}}").ok_or(TemplateError::Open)?;
            // `{{-` and `-}}` trim the text beside them (text/template, "Text and spaces").
            let (action, trims_before) = action.strip_prefix("- ").map_or((action, false), |action| (action, true));
            let (action, trims_behind) = action.strip_suffix(" -").map_or((action, false), |action| (action, true));
            parts.push(Part::Text(if trims_before { before.trim_end() } else { before }.to_owned()));
            parts.push(Part::Field(field(action.trim(), known)?));
            rest = if trims_behind { behind.trim_start() } else { behind };
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self { parts })
    }

    /// The path, from whatever `value` says of each field.
    pub fn render(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, NoValue> {
        let part = |part: &Part| match part {
            Part::Text(text) => Ok(text.clone()),
            Part::Field(field) => value(field).ok_or_else(|| NoValue(field.clone())),
        };
        self.parts.iter().map(part).collect()
    }
}

fn field(action: &str, known: &'static [&'static str]) -> Result<String, TemplateError> {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|char| char.is_alphanumeric() || char == '_');
    if let Some(field) = action.strip_prefix('.').filter(|field| field.split('.').all(is_name)) {
        let is_known = known.iter().any(|known| match known.strip_suffix('.') {
            Some(above) => field.rsplit_once('.').is_some_and(|(parent, _)| parent == above),
            None => *known == field,
        });
        let unknown = || TemplateError::UnknownField { field: field.to_owned(), known };
        return if is_known { Ok(field.to_owned()) } else { Err(unknown()) };
    }
    if let Some((list, place)) = action.strip_prefix("index .").and_then(|rest| rest.split_once(' ')) {
        let (list, place) = (list.trim(), place.trim());
        if place.bytes().all(|byte| byte.is_ascii_digit()) && known.contains(&format!("{list}.").as_str()) {
            return Ok(format!("{list}.{place}"));
        }
    }
    let mut words = action.split(|char: char| char.is_whitespace() || "|()".contains(char));
    Err(match words.find(|word| is_name(word) && word.starts_with(char::is_alphabetic)) {
        Some(function) => TemplateError::Function(function.to_owned()),
        None => TemplateError::Action(action.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["PluginName", "Subject.CommonName", "Sans.", "Principals."];

    fn render(template: &str) -> Result<String, NoValue> {
        let value = |field: &str| match field {
            "PluginName" => Some("pop".to_owned()),
            "Subject.CommonName" => Some("node-1".to_owned()),
            "Sans.rack" => Some("r7".to_owned()),
            "Principals.0" => Some("host-1".to_owned()),
            _ => None,
        };
        AgentPathTemplate::parse(template, KNOWN).unwrap().render(value)
    }

    #[test]
    fn fields_are_filled_in() {
        assert_eq!(render("/{{ .PluginName }}/{{.Subject.CommonName}}/x").unwrap(), "/pop/node-1/x");
        assert_eq!(render("/a/ {{- .Sans.rack -}} /b").unwrap(), "/a/r7/b");
        assert_eq!(render("/fixed").unwrap(), "/fixed");
        assert_eq!(render("/{{ index .Principals 0 }}").unwrap(), "/host-1");
        assert_eq!(render("/{{ index .Principals 7 }}"), Err(NoValue("Principals.7".to_owned())));
        assert_eq!(render("/{{ .Sans.row }}"), Err(NoValue("Sans.row".to_owned())));
    }

    #[test]
    fn what_is_more_than_a_field_is_refused_by_name() {
        let refused = |template| AgentPathTemplate::parse(template, KNOWN).unwrap_err();
        assert_eq!(refused("/{{ .PluginName | lower }}"), TemplateError::Function("lower".into()));
        assert_eq!(refused("/{{ trunc 5 .PluginName }}"), TemplateError::Function("trunc".into()));
        assert_eq!(refused("/{{ if .PluginName }}x{{ end }}"), TemplateError::Function("if".into()));
        assert_eq!(refused("/{{ index .Sans $i }}"), TemplateError::Function("index".into()));
        assert_eq!(refused("/{{ index .PluginName 0 }}"), TemplateError::Function("index".into()));
        assert_eq!(refused("/{{ 5 }}"), TemplateError::Action("5".into()));
        assert_eq!(refused("/{{ .PluginName"), TemplateError::Open);
        let unknown = refused("/{{ .Nmae }}").to_string();
        assert!(
            unknown.ends_with("no field \"Nmae\": fields are PluginName, Subject.CommonName, Sans., Principals."),
            "{unknown}"
        );
    }
}
