//! TPMA_OBJECT (part 2, section 8.3): what a TPM lets be done with a key.

use std::fmt;
use std::ops::BitOr;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub u32);

impl Attributes {
    /// It cannot be duplicated to another TPM.
    pub const FIXED_TPM: Self = Self(1 << 1);
    /// It cannot be moved to another parent.
    pub const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM made it up.
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    pub const USER_WITH_AUTH: Self = Self(1 << 6);
    pub const ADMIN_WITH_POLICY: Self = Self(1 << 7);
    /// Wrong passwords of it lock nothing.
    pub const NO_DA: Self = Self(1 << 10);
    /// It signs only what the TPM itself states, or opens only what the TPM itself uses.
    pub const RESTRICTED: Self = Self(1 << 16);
    pub const DECRYPT: Self = Self(1 << 17);
    pub const SIGN: Self = Self(1 << 18);

    /// A key that was made in one TPM and never leaves it.
    pub const BOUND_TO_ITS_TPM: Self = Self(Self::FIXED_TPM.0 | Self::FIXED_PARENT.0 | Self::SENSITIVE_DATA_ORIGIN.0);

    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Those of `wanted` that are not there.
    pub fn lacking(self, wanted: Self) -> Self {
        Self(wanted.0 & !self.0)
    }
}

impl BitOr for Attributes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<&str> = NAMES.iter().filter(|(bit, _)| self.contains(*bit)).map(|(_, name)| *name).collect();
        f.write_str(&set.join(", "))
    }
}

/// The specification's names.
const NAMES: [(Attributes, &str); 9] = [
    (Attributes::FIXED_TPM, "fixedTPM"),
    (Attributes::FIXED_PARENT, "fixedParent"),
    (Attributes::SENSITIVE_DATA_ORIGIN, "sensitiveDataOrigin"),
    (Attributes::USER_WITH_AUTH, "userWithAuth"),
    (Attributes::ADMIN_WITH_POLICY, "adminWithPolicy"),
    (Attributes::NO_DA, "noDA"),
    (Attributes::RESTRICTED, "restricted"),
    (Attributes::DECRYPT, "decrypt"),
    (Attributes::SIGN, "sign"),
];
