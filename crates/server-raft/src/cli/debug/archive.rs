//! A `.tar.gz` of a few small files, in POSIX's ustar form.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use steeple_core::Timestamp;

/// tar's unit.
const BLOCK: usize = 512;
/// Longer names need an extension that none of ours needs.
const NAME_BYTES_MAX: usize = 100;

/// `files` by name, readable for their owner only.
pub(super) fn write_tar_gz(out: impl Write, files: &[(String, Vec<u8>)], at: Timestamp) -> io::Result<()> {
    let mut tar = GzEncoder::new(out, Compression::default());
    for (name, content) in files {
        tar.write_all(&header(name, content.len(), at)?)?;
        tar.write_all(content)?;
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        tar.write_all(&[0; BLOCK][..padding])?;
    }
    // Two empty blocks are the end.
    tar.write_all(&[0; 2 * BLOCK])?;
    tar.finish()?.flush()
}

fn header(name: &str, size: usize, at: Timestamp) -> io::Result<[u8; BLOCK]> {
    if name.len() > NAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the name {name} is too long")));
    }
    let mut block = [0; BLOCK];
    let mut put = |offset: usize, text: &[u8]| block[offset..offset + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", at.as_secs().max(0)).as_bytes());
    // The sum is taken with blanks in its own place.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}
