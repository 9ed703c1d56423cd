//! A file becomes an object: in one request, or in parts of which one at a time lies in memory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use bytes::Bytes;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};

use crate::S3Error;
use crate::reader::PART_BYTES;

/// `told` makes an error of the library one of ours.
pub(crate) async fn put_new(
    store: &AmazonS3,
    path: &Path,
    mut source: File,
    told: impl Fn(object_store::Error) -> S3Error,
) -> Result<(), S3Error> {
    let size_bytes = source.metadata().map_err(S3Error::Source)?.len();
    if size_bytes > OBJECT_BYTES_MAX {
        return Err(S3Error::TooLarge { size_bytes, max: OBJECT_BYTES_MAX });
    }
    source.rewind().map_err(S3Error::Source)?;
    let (source, first) = next_part(source).await?;
    if size_bytes <= PART_BYTES as u64 {
        let only_new = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(path, first.into(), only_new).await.map_err(told)?;
        return Ok(());
    }
    let mut upload = store.put_multipart(path).await.map_err(&told)?;
    let stored = match parts(upload.as_mut(), source, first, &told).await {
        Ok(()) => upload.complete().await.map(drop).map_err(&told),
        Err(error) => Err(error),
    };
    if stored.is_err() {
        // What failed is worth reporting, not that its parts stay.
        let _ = upload.abort().await;
    }
    stored
}

/// One after the other.
async fn parts(
    upload: &mut dyn MultipartUpload,
    mut source: File,
    first: Bytes,
    told: &impl Fn(object_store::Error) -> S3Error,
) -> Result<(), S3Error> {
    let mut part = first;
    while !part.is_empty() {
        upload.put_part(part.into()).await.map_err(told)?;
        (source, part) = next_part(source).await?;
    }
    Ok(())
}

/// Empty at the end.
async fn next_part(source: File) -> Result<(File, Bytes), S3Error> {
    let read = tokio::task::spawn_blocking(move || {
        let mut part = Vec::with_capacity(PART_BYTES);
        (&source).take(PART_BYTES as u64).read_to_end(&mut part).map(|_| (source, Bytes::from(part)))
    });
    read.await.map_err(io::Error::other).and_then(|read| read).map_err(S3Error::Source)
}

/// As many parts as S3 takes.
const PARTS_MAX: u64 = 10_000;
const OBJECT_BYTES_MAX: u64 = PARTS_MAX * PART_BYTES as u64;
