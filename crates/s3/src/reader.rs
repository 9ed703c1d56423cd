//! An object as a stream, of which one part lies in memory.

use std::io::{self, Read};
use std::ops::Range;

use bytes::{Buf as _, Bytes};
use object_store::{GetOptions, GetRange, ObjectStore as _};
use tokio::runtime::Handle;

use crate::{Bucket, S3Error};

/// The least that S3 takes as a part, and what passes within the time of one request (30 s) over 1.5 Mbit/s.
pub(crate) const PART_BYTES: usize = 5 << 20;

/// Reads from a thread that may block, while the runtime that opened it runs. An error is an [`S3Error`] within.
pub struct ObjectReader {
    bucket: Bucket,
    key: String,
    size_bytes: u64,
    /// Every part has to be of the object that was opened.
    e_tag: Option<String>,
    at: u64,
    part: Bytes,
    runtime: Handle,
}

impl ObjectReader {
    /// Gets the first part: of a refusal to tell the size alone the store would not say why.
    pub(crate) async fn open(bucket: Bucket, key: &str) -> Result<Self, S3Error> {
        let mut reader = Self {
            bucket,
            key: key.to_owned(),
            size_bytes: 0,
            e_tag: None,
            at: 0,
            part: Bytes::new(),
            runtime: Handle::current(),
        };
        match reader.get(0..PART_BYTES as u64).await {
            Ok((part, size_bytes, e_tag)) => reader = Self { size_bytes, e_tag, part, ..reader },
            Err(S3Error::Refused(refusal)) if refusal.code == OF_NOTHING => {}
            Err(error) => return Err(error),
        }
        reader.at = reader.part.len() as u64;
        Ok(reader)
    }

    /// Of the whole object.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    async fn next_part(&self) -> Result<Bytes, S3Error> {
        let end = self.size_bytes.min(self.at + PART_BYTES as u64);
        let (part, ..) = self.get(self.at..end).await?;
        match part.len() as u64 == end - self.at {
            true => Ok(part),
            false => Err(S3Error::Changed { key: self.key.clone() }),
        }
    }

    /// With the size of the whole and its tag.
    async fn get(&self, range: Range<u64>) -> Result<(Bytes, u64, Option<String>), S3Error> {
        let failed = |error| match self.bucket.failed(error, &self.key) {
            // Reading takes nobody's place: the condition that was not met is the tag.
            S3Error::Exists { key } => S3Error::Changed { key },
            error => error,
        };
        let options =
            GetOptions { if_match: self.e_tag.clone(), range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let got = self.bucket.store().get_opts(&self.bucket.path(&self.key)?, options).await.map_err(failed)?;
        let (size_bytes, e_tag) = (got.meta.size, got.meta.e_tag.clone());
        Ok((got.bytes().await.map_err(failed)?, size_bytes, e_tag))
    }
}

impl Read for ObjectReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.part.is_empty() && self.at < self.size_bytes {
            self.part = self.runtime.block_on(self.next_part()).map_err(io::Error::other)?;
            self.at += self.part.len() as u64;
        }
        let count = into.len().min(self.part.len());
        self.part.split_to(count).copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

/// How a store refuses a range of an object that is empty.
const OF_NOTHING: &str = "InvalidRange";
