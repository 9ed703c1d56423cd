//! Load on running programs, and what they make of it.
//!
//! ```text
//!   figures ─┬─ scene      a server and an agent, fresh for each run
//!            ├─ measures   what is measured, one function each
//!            ├─ node       a simulated agent
//!            ├─ closed     clients with one call open each
//!            ├─ usage      memory and CPU, from /proc
//!            └─ figure     medians, the table, JSON
//! ```

pub mod figures;
