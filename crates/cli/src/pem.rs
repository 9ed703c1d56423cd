//! PEM (RFC 7468) as other tools write it.

use ::pem::{EncodeConfig, LineEnding, Pem, encode_config};

/// One block with its line feed; `label` is `CERTIFICATE`, `PRIVATE KEY` and so on.
pub fn pem_text(label: &str, der: &[u8]) -> String {
    encode_config(&Pem::new(label, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_64_characters() {
        let text = pem_text("CERTIFICATE", &[0; 49]);
        let expected = format!("-----BEGIN CERTIFICATE-----\n{}\nAA==\n-----END CERTIFICATE-----\n", "A".repeat(64));
        assert_eq!(text, expected);
    }
}
