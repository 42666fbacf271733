//! One module per command of the program: its options as the command line has them, and what it does.
//!
//! [`shared`] holds the options that several commands take, `doubts` finds words that look the same; [`kinds`] what the help says about names.

mod doubts;
pub mod shared;
pub mod kinds;
pub mod run;
pub mod runs;
pub mod compare;
pub mod verify;
pub mod merge;
pub mod cache;
pub mod segment;
pub mod explain;
pub mod evaluate;
pub mod calibrate;
pub mod retrieve;
pub mod probe;
pub mod convert;
pub mod import;
pub mod parity;
pub mod recipe;
pub mod scenes;
