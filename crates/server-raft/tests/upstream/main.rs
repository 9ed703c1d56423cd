//! Servers below another authority: one on disk, a server of ours, and stock SPIRE's above and below.

mod disk;
mod nested;
mod subordinate;
