//! `import` against servers of our own: what comes along, what is refused, and a live cut-over.

mod cut_over;
mod records;
mod refused;
mod site;
