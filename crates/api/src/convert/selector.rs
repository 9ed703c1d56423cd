//! Selectors.

use steeple_core::{Selector, SelectorSet};

use super::ConvertError;
use crate::types;

pub fn selector_from_wire(selector: &types::Selector) -> Result<Selector, ConvertError> {
    Ok(Selector::new(&selector.r#type, &selector.value)?)
}

/// In the order sent and with repetitions, because some callers must refuse those.
pub fn selectors_from_wire(selectors: &[types::Selector]) -> Result<Vec<Selector>, ConvertError> {
    selectors.iter().map(selector_from_wire).collect()
}

pub fn selector_to_wire(selector: &Selector) -> types::Selector {
    types::Selector { r#type: selector.kind.clone(), value: selector.value.clone() }
}

pub fn selectors_to_wire(selectors: &SelectorSet) -> Vec<types::Selector> {
    selectors.iter().map(selector_to_wire).collect()
}
