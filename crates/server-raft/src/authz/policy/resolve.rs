//! From what the policy file says to rights that can be asked for: every method exists, every limit fits its method.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use steeple_config::{PolicyRole, PolicyRule, PolicySettings, Span, nearest};
use steeple_core::SpiffeId;
use steeple_state::view::EntryScope;

use super::rights::{Bounds, Rights};
use super::target::{Target, short};
use crate::authz::{Caller, Row, TABLE, Transport};

/// Who has limited rights, and which.
#[derive(Debug)]
pub struct Policy {
    roles: Vec<ResolvedRole>,
    /// IDs that have rights by configuration: whoever may hand out IDs may not hand out these.
    reserved: Arc<BTreeSet<SpiffeId>>,
}

#[derive(Debug)]
struct ResolvedRole {
    /// `policy.hcl:12`.
    place: String,
    spiffe_ids: BTreeSet<SpiffeId>,
    uids: BTreeSet<u32>,
    rules: Vec<ResolvedRule>,
}

#[derive(Debug)]
struct ResolvedRule {
    methods: BTreeSet<&'static str>,
    bounds: Bounds,
}

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{span}: role {role:?}: {reason}", .path.display())]
pub struct PolicyError {
    pub path: PathBuf,
    pub span: Span,
    pub role: String,
    pub reason: String,
}

impl Policy {
    pub fn resolve(settings: &PolicySettings, admin_ids: &[SpiffeId]) -> Result<Self, PolicyError> {
        let file = settings.path.file_name().unwrap_or(settings.path.as_os_str()).to_string_lossy();
        let roles = settings.roles.iter().map(|role| {
            let fail =
                |span, reason| PolicyError { path: settings.path.clone(), span, role: role.name.clone(), reason };
            if let Some(id) = role.spiffe_ids.iter().find(|id| admin_ids.contains(id)) {
                let why =
                    format!("{} is in admin_ids too, which gives it every right; remove one of the two", id.as_str());
                return Err(fail(role.span, why));
            }
            let rules = role.rules.iter().map(|rule| ResolvedRule::of(rule).map_err(|why| fail(rule.span, why)));
            let place = if role.span.is_known() { format!("{file}:{}", role.span.line) } else { file.to_string() };
            Ok(ResolvedRole {
                place,
                spiffe_ids: role.spiffe_ids.iter().cloned().collect(),
                uids: role.uids.iter().copied().collect(),
                rules: rules.collect::<Result<_, _>>()?,
            })
        });
        let roles = roles.collect::<Result<Vec<_>, _>>()?;
        let named = settings.roles.iter().flat_map(|role: &PolicyRole| &role.spiffe_ids);
        let reserved = named.chain(admin_ids).cloned().collect();
        Ok(Self { roles, reserved: Arc::new(reserved) })
    }

    /// What a caller that some role names may do with the method of `row`; `None` where the policy has no say.
    pub fn rights(&self, caller: &Caller, row: &Row) -> Option<Rights> {
        Target::of(row)?;
        let roles: Vec<&ResolvedRole> = self.roles.iter().filter(|role| role.names(caller)).collect();
        if roles.is_empty() {
            return None;
        }
        let rules = roles.iter().flat_map(|role| &role.rules);
        let bounds = rules.filter(|rule| rule.methods.contains(row.method)).map(|rule| rule.bounds.clone());
        let places: Vec<&str> = roles.iter().map(|role| role.place.as_str()).collect();
        Some(Rights::new(row.method, places.join(" and "), bounds.collect(), Arc::clone(&self.reserved)))
    }
}

impl ResolvedRole {
    fn names(&self, caller: &Caller) -> bool {
        match &caller.transport {
            Transport::Uds { uid, .. } => self.uids.contains(uid),
            Transport::Tcp { .. } => caller.id.as_ref().is_some_and(|id| self.spiffe_ids.contains(id)),
        }
    }
}

impl ResolvedRule {
    fn of(rule: &PolicyRule) -> Result<Self, String> {
        let mut methods = BTreeSet::new();
        for name in &rule.methods {
            let found = named(name)?;
            for row in &found {
                check_limits(rule, row)?;
            }
            methods.extend(found.iter().map(|row| row.method));
        }
        let bounds = Bounds {
            entries: EntryScope {
                spiffe_ids: rule.spiffe_ids.clone().map(Into::into),
                parent_ids: rule.parent_ids.clone().map(Into::into),
            },
            trust_domains: rule.trust_domains.clone(),
            federates_with: rule.federates_with.clone().unwrap_or_default(),
        };
        Ok(Self { methods, bounds })
    }
}

/// The methods that `name` stands for: `Entry/ListEntries`, with or without its package, or `Entry/*`, which leaves out
/// what concerns the whole.
fn named(name: &str) -> Result<Vec<&'static Row>, String> {
    let is_named = |row: &&Row, name: &str| {
        let full = row.method.trim_start_matches('/');
        full == name.trim_start_matches('/') || short(row.method) == name
    };
    if let Some(service) = name.strip_suffix("/*") {
        let of_service = |row: &&'static Row| {
            let service_of = |method: &'static str| method.rsplit_once('/').map(|(service, _)| service);
            service_of(row.method).is_some_and(|full| full.trim_start_matches('/') == service.trim_start_matches('/'))
                || service_of(short(row.method)) == Some(service)
        };
        let rows: Vec<_> = TABLE.iter().filter(of_service).collect();
        if rows.is_empty() {
            return Err(unknown(name, &TABLE.iter().map(|row| group(row.method)).collect::<Vec<_>>()));
        }
        let limitable = |row: &&Row| !matches!(Target::of(row), None | Some(Target::Whole));
        let rows: Vec<_> = rows.into_iter().filter(limitable).collect();
        return match rows.is_empty() {
            true => Err(format!("the methods of {name} concern the whole server: name each that is meant")),
            false => Ok(rows),
        };
    }
    let Some(row) = TABLE.iter().find(|row| is_named(row, name)) else {
        return Err(unknown(name, &TABLE.iter().map(|row| short(row.method).to_owned()).collect::<Vec<_>>()));
    };
    match Target::of(row) {
        Some(_) => Ok(vec![row]),
        None => Err(format!("{name} is not a method of administrators: who may call it no policy decides; remove it")),
    }
}

fn group(method: &'static str) -> String {
    let service = short(method).split('/').next().unwrap_or_default();
    format!("{service}/*")
}

fn unknown(name: &str, known: &[String]) -> String {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    match nearest(name, &known) {
        Some(known) => format!("unknown method {name:?} (did you mean {known:?}?)"),
        None => format!("unknown method {name:?}; docs/authorization.md lists them"),
    }
}

/// A limit that says nothing about a method would be taken for one that does.
fn check_limits(rule: &PolicyRule, row: &Row) -> Result<(), String> {
    let fitting = Target::of(row).map_or(&[][..], Target::keys);
    let present = [
        ("spiffe_ids", rule.spiffe_ids.is_some()),
        ("parent_ids", rule.parent_ids.is_some()),
        ("trust_domains", rule.trust_domains.is_some()),
        ("federates_with", rule.federates_with.is_some()),
    ];
    match present.into_iter().find(|(key, present)| *present && !fitting.contains(key)) {
        None => Ok(()),
        Some((key, _)) if fitting.is_empty() => Err(format!(
            "{key} cannot limit {}, which concerns the whole: give it a rule of its own",
            short(row.method)
        )),
        Some((key, _)) => Err(format!(
            "{key} cannot limit {}, which {} can: give it a rule of its own",
            short(row.method),
            fitting.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::row;

    fn settings(methods: &[&str]) -> PolicySettings {
        let rule = PolicyRule {
            span: Span { line: 3, column: 9 },
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            spiffe_ids: None,
            parent_ids: None,
            trust_domains: None,
            federates_with: None,
        };
        let role = PolicyRole {
            name: "r".to_owned(),
            span: Span { line: 2, column: 6 },
            spiffe_ids: vec![SpiffeId::parse("spiffe://example.org/ci").unwrap()],
            uids: vec![1000],
            rules: vec![rule],
        };
        PolicySettings { path: "/etc/steeple/policy.hcl".into(), roles: vec![role] }
    }

    fn refusal(settings: &PolicySettings, admin_ids: &[SpiffeId]) -> String {
        Policy::resolve(settings, admin_ids).unwrap_err().to_string()
    }

    fn local(uid: u32) -> Caller {
        Caller { transport: Transport::Uds { uid, gid: 0, pid: 1 }, id: None }
    }

    fn remote(id: &str) -> Caller {
        let transport = Transport::Tcp { remote_addr: "127.0.0.1:1".parse().unwrap(), identity: None };
        Caller { transport, id: Some(SpiffeId::parse(id).unwrap()) }
    }

    #[test]
    fn whoever_is_named_has_what_the_rules_say_and_the_policy_has_no_say_about_others() {
        let policy = Policy::resolve(&settings(&["Entry/*", "Cluster/Status"]), &[]).unwrap();
        let granted = |caller: &Caller, method: &str| policy.rights(caller, row(method).unwrap()).map(|r| r.grants());
        let list = "/spire.api.server.entry.v1.Entry/ListEntries";
        for caller in [local(1000), remote("spiffe://example.org/ci")] {
            assert_eq!(granted(&caller, list), Some(true));
            assert_eq!(granted(&caller, "/steeple.server.v1.Cluster/Status"), Some(true));
            assert_eq!(granted(&caller, "/steeple.server.v1.Cluster/Remove"), Some(false));
            assert_eq!(granted(&caller, "/spire.api.server.bundle.v1.Bundle/GetBundle"), None, "anybody's");
            assert_eq!(granted(&caller, "/spire.api.server.entry.v1.Entry/GetAuthorizedEntries"), None, "agents'");
        }
        for caller in [local(0), remote("spiffe://example.org/ci/x"), remote("spiffe://other.test/ci")] {
            assert_eq!(granted(&caller, list), None);
        }
    }

    #[test]
    fn names_of_methods_are_read_with_and_without_their_package() {
        let rows = |name: &str| named(name).unwrap().iter().map(|row| row.method).collect::<Vec<_>>();
        let list = ["/spire.api.server.entry.v1.Entry/ListEntries"];
        for name in ["Entry/ListEntries", "spire.api.server.entry.v1.Entry/ListEntries", list[0]] {
            assert_eq!(rows(name), list);
        }
        assert_eq!(rows("Entry/*"), rows("/spire.api.server.entry.v1.Entry/*"));
        assert_eq!(rows("Entry/*").len(), 6, "what agents call is not among them");
        let bundles = rows("Bundle/*");
        assert!(!bundles.iter().any(|method| method.ends_with("AppendBundle")), "{bundles:?}");
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_place() {
        let cases = [
            ("Entry/ListEntris", "unknown method \"Entry/ListEntris\" (did you mean \"Entry/ListEntries\"?)"),
            ("Entris/*", "unknown method \"Entris/*\" (did you mean \"Entries/*\"?)"),
            ("*", "unknown method \"*\"; docs/authorization.md lists them"),
            ("Cluster/*", "the methods of Cluster/* concern the whole server: name each that is meant"),
            ("Agent/RenewAgent", "Agent/RenewAgent is not a method of administrators: "),
        ];
        for (method, why) in cases {
            let refused = refusal(&settings(&[method]), &[]);
            let start = format!("/etc/steeple/policy.hcl:3:9: role \"r\": {why}");
            assert!(refused.starts_with(&start), "{refused}");
        }
        let mut limited = settings(&["Entry/*", "SVID/MintX509SVID"]);
        limited.roles[0].rules[0].parent_ids = Some(Vec::new());
        assert!(refusal(&limited, &[]).contains("parent_ids cannot limit SVID/MintX509SVID, which spiffe_ids can: "));
        limited.roles[0].rules[0].methods = vec!["Backup/Create".to_owned()];
        assert!(refusal(&limited, &[]).contains("parent_ids cannot limit Backup/Create, which concerns the whole: "));
        let admins = [SpiffeId::parse("spiffe://example.org/ci").unwrap()];
        assert_eq!(
            refusal(&settings(&["Entry/*"]), &admins),
            "/etc/steeple/policy.hcl:2:6: role \"r\": spiffe://example.org/ci is in admin_ids too, which gives it \
             every right; remove one of the two"
        );
    }
}
