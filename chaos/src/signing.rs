//! Which replicas sign, as the servers under test are configured.

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Signing {
    #[default]
    Leader,
    /// Every voter what it is asked for.
    Replicas,
}

impl Signing {
    /// The line of `cluster { }`.
    pub(crate) fn line(self) -> &'static str {
        match self {
            Self::Leader => "signing = \"leader\"",
            Self::Replicas => "signing = \"replicas\"",
        }
    }
}
