//! The log on files.
