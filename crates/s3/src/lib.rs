//! Objects in an S3-compatible store: there whole or not at all, and read with an end to everything.
//!
//! ```text
//!   Access ── Bucket ─┬─ list                        names and sizes, at most a stated number
//!                     ├─ put_new ── upload           a name that is free gets an object, or nothing happens
//!                     ├─ open ── ObjectReader        part by part, all of the same object
//!                     └─ delete
//! ```
//!
//! Signing, credentials and retries are those of `object_store`; its requests go over our own TLS (`http`), and what
//! goes wrong is told with the next step and without what the store repeats of the request (`error`).

mod access;
mod bucket;
mod error;
mod http;
mod reader;
mod upload;

pub use access::{Access, Credentials};
pub use bucket::{Bucket, Listed};
pub use error::S3Error;
pub use reader::ObjectReader;
