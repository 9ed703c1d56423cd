//! `docs/authorization.md`: every method and every caller, as the code decides. `tests/callers/every_cell.rs` asks real
//! servers for each cell.

use std::fmt::Write as _;

use steeple_api::types::permission_denied_details::Reason;
use steeple_config::{PolicyRole, PolicyRule, PolicySettings, Span};
use steeple_core::{AttestedAgent, SelectorSet, SpiffeId, Timestamp};
use steeple_state::view::CallerFlags;
use steeple_testkit::assert_committed;

use super::{AgentDecision, Caller, Denial, Entrance, Policy, Rights, Row, Standing, TABLE, Transport, decide};

/// A column of the table.
struct Column {
    name: &'static str,
    who: &'static str,
    standing: Standing,
    certificate: Certificate,
    /// Whether the policy below names it.
    is_limited: bool,
}

/// What a caller shows, as far as the agents' records know it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Certificate {
    /// None, or one that ends the handshake.
    Refused,
    /// On the admin socket nobody asks for one.
    None,
    OfAgent,
    OfBannedAgent,
    /// Its agent attested again since.
    Former,
    /// It ran out on the connection that it opened.
    Expired,
    /// A member of the trust domain that is no agent, or is none any more.
    OfNoAgent,
}

/// What a caller hears.
#[derive(Clone, Copy)]
enum Answer {
    LetIn,
    Denied,
    DeniedBecause(Denial),
    Absent,
    NoConnection,
}

const NOBODY: Standing = Standing {
    local: false,
    identified: false,
    configured_admin: false,
    entries: CallerFlags { admin: false, downstream: false },
    granted: None,
};
const MEMBER: Standing = Standing { identified: true, ..NOBODY };

const COLUMNS: [Column; 16] = [
    column("plain", "no TLS", NOBODY, Certificate::Refused),
    column("peer", "TLS with a certificate as replicas have for their own port", NOBODY, Certificate::Refused),
    column("foreign", "an agent of another trust domain, federated with", MEMBER, Certificate::Refused),
    column("anonymous", "TLS without a client certificate", NOBODY, Certificate::None),
    column("agent", "an attested agent", MEMBER, Certificate::OfAgent),
    column("banned", "an agent that was banned", MEMBER, Certificate::OfBannedAgent),
    column("evicted", "an agent that was evicted", MEMBER, Certificate::OfNoAgent),
    column("former", "an agent with the SVID that it had before it attested again", MEMBER, Certificate::Former),
    column("expired", "whoever outlives its certificate on an open connection", MEMBER, Certificate::Expired),
    column("workload", "an X.509-SVID that no entry makes more of", MEMBER, Certificate::OfNoAgent),
    column(
        "downstream",
        "a holder of an entry with `downstream`",
        Standing { entries: CallerFlags { admin: false, downstream: true }, ..MEMBER },
        Certificate::OfNoAgent,
    ),
    column(
        "admin",
        "a holder of an entry with `admin`",
        Standing { entries: CallerFlags { admin: true, downstream: false }, ..MEMBER },
        Certificate::OfNoAgent,
    ),
    Column {
        is_limited: true,
        ..column(
            "limited",
            "an ID to which a [policy](authorization-policy.md) gives `Entry/*`, and nothing else",
            MEMBER,
            Certificate::OfNoAgent,
        )
    },
    column("config", "an ID in `admin_ids`", ADMIN, Certificate::OfNoAgent),
    column("config, foreign", "an ID of another trust domain in `admin_ids`", ADMIN, Certificate::OfNoAgent),
    column("local", "the admin socket", Standing { local: true, ..NOBODY }, Certificate::None),
];
const ADMIN: Standing = Standing { configured_admin: true, ..MEMBER };

const fn column(name: &'static str, who: &'static str, standing: Standing, certificate: Certificate) -> Column {
    Column { name, who, standing, certificate, is_limited: false }
}

impl Column {
    fn answer(&self, row: &Row) -> Answer {
        if self.certificate == Certificate::Refused {
            return Answer::NoConnection;
        }
        if !self.standing.local && !row.is_on_tcp() {
            return Answer::Absent;
        }
        let granted = if self.is_limited { granted(row) } else { None };
        match row.entrance(&Standing { granted, ..self.standing }) {
            Entrance::As(_) => Answer::LetIn,
            Entrance::Closed => Answer::Denied,
            Entrance::IfAgent => match self.certificate.decision() {
                AgentDecision::Allow | AgentDecision::Promote => Answer::LetIn,
                AgentDecision::Deny(reason) => Answer::DeniedBecause(reason),
            },
        }
    }
}

/// What a policy that gives its only caller `Entry/*` says of a method.
fn granted(row: &Row) -> Option<bool> {
    let id = SpiffeId::parse("spiffe://td/limited").unwrap();
    let rule = PolicyRule {
        span: Span::UNKNOWN,
        methods: vec!["Entry/*".to_owned()],
        spiffe_ids: None,
        parent_ids: None,
        trust_domains: None,
        federates_with: None,
    };
    let role = PolicyRole {
        name: "limited".to_owned(),
        span: Span::UNKNOWN,
        spiffe_ids: vec![id.clone()],
        uids: Vec::new(),
        rules: vec![rule],
    };
    let policy = Policy::resolve(&PolicySettings { path: "policy.hcl".into(), roles: vec![role] }, &[]).unwrap();
    let transport = Transport::Tcp { remote_addr: "127.0.0.1:1".parse().unwrap(), identity: None };
    policy.rights(&Caller { transport, id: Some(id) }, row).as_ref().map(Rights::grants)
}

impl Certificate {
    fn decision(self) -> AgentDecision {
        let (known, banned) = (record("1"), record(""));
        let (record, serial) = match self {
            Self::OfAgent | Self::Expired => (Some(&known), "1"),
            Self::OfBannedAgent => (Some(&banned), "1"),
            Self::Former => (Some(&known), "0"),
            Self::OfNoAgent | Self::None | Self::Refused => (None, "1"),
        };
        let now = Timestamp::from_secs(if self == Self::Expired { 200 } else { 1 });
        decide(record, serial, Timestamp::from_secs(100), now)
    }
}

fn record(serial: &str) -> AttestedAgent {
    AttestedAgent {
        id: SpiffeId::parse("spiffe://td/spire/agent/x").unwrap(),
        attestation_type: "x509pop".into(),
        serial: serial.into(),
        not_after: 100,
        new_serial: String::new(),
        new_not_after: 0,
        can_reattest: true,
        selectors: SelectorSet::default(),
        agent_version: String::new(),
    }
}

impl Answer {
    fn cell(self) -> &'static str {
        match self {
            Self::LetIn => "yes",
            Self::Denied => "no",
            Self::DeniedBecause(reason) => Reason::from(reason).as_str_name().trim_start_matches("AGENT_"),
            Self::Absent => "absent",
            Self::NoConnection => "–",
        }
    }
}

fn rendered() -> String {
    let mut text = HEAD.to_owned();
    for column in &COLUMNS {
        writeln!(text, "| {} | {} |", column.name, column.who).unwrap();
    }
    text += "\n## The table\n\n| method |";
    text.extend(COLUMNS.iter().map(|column| format!(" {} |", column.name)));
    text += "\n|---|";
    text += &"---|".repeat(COLUMNS.len());
    text += "\n";
    for row in TABLE {
        write!(text, "| `{}` |", row.method).unwrap();
        text.extend(COLUMNS.iter().map(|column| format!(" {} |", column.answer(row).cell())));
        text += "\n";
    }
    text
}

const HEAD: &str = "\
# Who may call what

Written by `cargo xtask fix` from the server's own table; a test compares them, and another one asks real replicas for
every cell in every state. A method that is not in here does not pass that test.

| cell | the caller hears |
|---|---|
| yes | whatever the method answers |
| no | `PermissionDenied`, `authorization denied for method ...`, without details; a caller with limited rights also \
hears which role has no rule for it |
| BANNED, EXPIRED, NOT_ACTIVE, NOT_ATTESTED | the same, with that reason (`AGENT_...`) as \
`PermissionDeniedDetails` in the trailers |
| absent | `Unimplemented`, `unknown service ...`: the port for agents does not have it, the admin socket does |
| – | nothing: the handshake fails |

| state of the replica | cells |
|---|---|
| leader, follower, learner | as below |
| sealed | as below in the column `local`, where the answer to what needs a key or the leader is `Unavailable`, `the \
server is sealed: ...`; everywhere else –: callers go to another replica |
| no quorum | as below where the caller's address, certificate or the configuration decides: methods for everybody, \
EXPIRED, the columns `local`, `config` and `limited` for what they are let in to; `Unavailable` wherever an entry or \
the agent's record would decide, which another replica may have changed |

| column | who calls |
|---|---|
";

#[test]
fn committed_table_of_callers() {
    assert_committed("docs/authorization.md", &rendered());
}
