//! A row of the table read for one caller: pure, so that the layer that asks and the document that tells cannot differ.

use steeple_state::view::CallerFlags;

use super::{Class, Row};

/// What is known of a caller before anybody looks at its record as an agent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// On the admin socket.
    pub local: bool,
    /// Its certificate names a SPIFFE ID.
    pub identified: bool,
    /// That ID is in `admin_ids`.
    pub configured_admin: bool,
    pub entries: CallerFlags,
    /// Whether a policy that names the caller has a rule for the method; `None` where it has no say.
    pub granted: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    As(Class),
    /// Open to an agent whose certificate is still its own; see [`decide`](super::decide).
    IfAgent,
    Closed,
}

impl Row {
    /// First success wins, in SPIRE's order: any, local, configured admin, entries, agent. A policy that names the
    /// caller takes the place of what administrators have.
    pub fn entrance(&self, standing: &Standing) -> Entrance {
        match *standing {
            _ if self.any => Entrance::As(Class::Nobody),
            Standing { granted: Some(true), .. } => Entrance::As(Class::Limited),
            Standing { granted: Some(false), identified: true, .. } if self.agent => Entrance::IfAgent,
            Standing { granted: Some(false), .. } => Entrance::Closed,
            Standing { local: true, .. } if self.local => Entrance::As(Class::Local),
            Standing { local: true, .. } | Standing { identified: false, .. } => Entrance::Closed,
            Standing { configured_admin: true, .. } if self.admin => Entrance::As(Class::Admin { via_config: true }),
            Standing { entries, .. } if self.admin && entries.admin => Entrance::As(Class::Admin { via_config: false }),
            Standing { entries, .. } if self.downstream && entries.downstream => Entrance::As(Class::Downstream),
            // Administrators of other trust domains too: they are told that they are no agents (recorded SPIRE
            // behaviour).
            _ if self.agent => Entrance::IfAgent,
            _ => Entrance::Closed,
        }
    }

    /// Whether what entries say of the caller makes a difference.
    pub fn depends_on_entries(&self, standing: &Standing) -> bool {
        let with = |entries| self.entrance(&Standing { entries, ..*standing });
        with(CallerFlags::default()) != with(CallerFlags { admin: true, downstream: true })
    }

    /// Services of the admin socket do not exist on TCP (recorded SPIRE behaviour).
    pub fn is_on_tcp(&self) -> bool {
        self.any || self.admin || !self.local
    }
}
